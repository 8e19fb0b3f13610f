"""details v2 and the world outside, over real TLS with a certificate authority of the test's own."""

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bookinfo_details import external
from bookinfo_details.app import create_app
from bookinfo_details.settings import Settings

VOLUMES = {
    "items": [
        {
            "volumeInfo": {
                "authors": ["William Shakespeare"],
                "publishedDate": "2002-03-01",
                "printType": "BOOK",
                "pageCount": 64,
                "publisher": "A Publisher",
                "language": "en",
                "industryIdentifiers": [],
            }
        }
    ]
}
INSIDE = ["cookie", "authorization", "jwt", "end-user", "traceparent", "b3", "x-request-id", "user-agent", "baggage"]


def certificate(
    folder: Path, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    """Write `name`.pem, a certificate for the host `name` with its key; without an issuer, an authority's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = issuer or (subject, key)
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=issuer is None,
        crl_sign=issuer is None,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(secret + made.public_bytes(Encoding.PEM))
    return subject, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ca.pem, localhost.pem and elsewhere.pem, both by that authority, and another-ca.pem."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = certificate(folder, "ca")
    certificate(folder, "localhost", authority)
    certificate(folder, "elsewhere", authority)
    certificate(folder, "another-ca")
    return folder


@asynccontextmanager
async def books(server_certificate: Path | None, seconds: float = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """An external book service that takes `seconds` for its answer: its port, and the requests it got."""
    requests: list[bytes] = []
    context = None
    if server_certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(server_certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(seconds)
            body = json.dumps(VOLUMES).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], requests


def ask(server_certificate: Path | None, seconds: float = 0, **settings: Any) -> tuple[httpx.Response, list[bytes]]:
    """What details v2 answers to a caller of the mesh, and what it asked outside."""

    async def scenario() -> tuple[httpx.Response, list[bytes]]:
        async with books(server_certificate, seconds) as (port, requests):
            loaded = Settings.load(
                version="v2",
                external_books_host="localhost",
                external_books_port=port,
                **settings,
            )
            app = create_app(loaded)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://details") as caller,
            ):
                return await caller.get("/details/0", headers=dict.fromkeys(INSIDE, "of the mesh")), requests

    return asyncio.run(scenario())


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_with_its_authority_known_the_book_service_is_asked_over_tls(folder: Path) -> None:
    answer, requests = ask(folder / "localhost.pem", external_books_ca_file=folder / "ca.pem")
    assert (answer.status_code, answer.json()["publisher"]) == (200, "A Publisher")
    assert requests[0].startswith(b"GET /books/v1/volumes?q=isbn:0486424618 HTTP/1.1\r\n")


def test_nothing_of_the_mesh_goes_outside(folder: Path) -> None:
    _, requests = ask(folder / "localhost.pem", external_books_ca_file=folder / "ca.pem")
    names = {line.split(b":")[0].lower() for line in requests[0].split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept"}
    assert b"of the mesh" not in requests[0]


@pytest.mark.parametrize(("name", "ca"), [("localhost", "another-ca"), ("elsewhere", "ca"), ("localhost", None)])
def test_a_certificate_that_proves_nothing_is_not_accepted(folder: Path, name: str, ca: str | None) -> None:
    known: dict[str, Any] = {"external_books_ca_file": folder / f"{ca}.pem"} if ca else {}
    answer, requests = ask(folder / f"{name}.pem", **known)
    assert (answer.status_code, answer.json()) == (502, {"error": "the external book service cannot be reached"})
    assert requests == []


def test_do_not_encrypt_asks_in_plain_http(folder: Path) -> None:
    answer, requests = ask(None, do_not_encrypt=True)
    assert answer.status_code == 200
    assert requests[0].startswith(b"GET /books/v1/volumes?q=isbn:0486424618 HTTP/1.1\r\n")


def test_a_book_service_that_takes_longer_than_its_time_is_a_gateway_timeout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert external.TIME_LIMIT == 5.0
    monkeypatch.setattr("bookinfo_details.app.TIME_LIMIT", 0.2)
    answer, _ = ask(None, seconds=30, do_not_encrypt=True)
    assert (answer.status_code, answer.json()) == (
        504,
        {"error": "the external book service did not respond in time"},
    )
