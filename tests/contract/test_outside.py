"""details v2 with an external book service, over real TLS with a CA of the test."""

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
    directory: Path, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    """Write `name`.pem, a certificate with its key for the host `name`. Without an issuer, create a CA."""
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
    signed = (
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
    (directory / f"{name}.pem").write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return subject, key


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem, localhost.pem and elsewhere.pem, both signed by it, and another-ca.pem."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = certificate(directory, "ca")
    certificate(directory, "localhost", authority)
    certificate(directory, "elsewhere", authority)
    certificate(directory, "another-ca")
    return directory


@asynccontextmanager
async def books(server_certificate: Path | None, seconds: float = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a book service that responds after `seconds`. Yield its port and the requests that it receives."""
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


def call_details(
    server_certificate: Path | None, seconds: float = 0, **settings: Any
) -> tuple[httpx.Response, list[bytes]]:
    """Call details v2. Return its response and the requests that the book service received."""

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


def test_the_book_service_is_called_over_tls_with_a_trusted_ca(directory: Path) -> None:
    response, requests = call_details(directory / "localhost.pem", external_books_ca_file=directory / "ca.pem")
    assert (response.status_code, response.json()["publisher"]) == (200, "A Publisher")
    assert requests[0].startswith(b"GET /books/v1/volumes?q=isbn:0486424618 HTTP/1.1\r\n")


def test_no_header_of_the_mesh_leaves_the_mesh(directory: Path) -> None:
    _, requests = call_details(directory / "localhost.pem", external_books_ca_file=directory / "ca.pem")
    names = {line.split(b":")[0].lower() for line in requests[0].split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept"}
    assert b"of the mesh" not in requests[0]


@pytest.mark.parametrize(("name", "ca"), [("localhost", "another-ca"), ("elsewhere", "ca"), ("localhost", None)])
def test_an_untrusted_certificate_is_rejected(directory: Path, name: str, ca: str | None) -> None:
    known: dict[str, Any] = {"external_books_ca_file": directory / f"{ca}.pem"} if ca else {}
    response, requests = call_details(directory / f"{name}.pem", **known)
    assert (response.status_code, response.json()) == (502, {"error": "the external book service cannot be reached"})
    assert requests == []


def test_do_not_encrypt_uses_http(directory: Path) -> None:
    response, requests = call_details(None, do_not_encrypt=True)
    assert response.status_code == 200
    assert requests[0].startswith(b"GET /books/v1/volumes?q=isbn:0486424618 HTTP/1.1\r\n")


def test_a_slow_book_service_is_504(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert external.TIME_LIMIT == 5.0
    monkeypatch.setattr("bookinfo_details.app.TIME_LIMIT", 0.2)
    response, _ = call_details(None, seconds=30, do_not_encrypt=True)
    assert (response.status_code, response.json()) == (
        504,
        {"error": "the external book service did not respond in time"},
    )
