"""`HttpTransport` without `Upstream`: TLS, tunnels, invalid requests and connection reuse.

These tests use uvloop, as in production. tests/contract/test_wire.py uses asyncio.
"""

import asyncio
import datetime as dt
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bookinfo_chassis.fastpath.transport import MAX_HEAD, HttpTransport
from bookinfo_chassis.proxies import Proxies

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SECOND = b"HTTP/1.1 200 OK\r\nset-cookie: stolen=1\r\ncontent-length: 6\r\n\r\nsecond"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A server on loopback: its port, the received heads, and the number of all and of open connections."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0


@asynccontextmanager
async def peer(response: bytes | Handler = OK, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Run a server that sends `response` for each request, or calls it after the head of a request."""
    running = Peer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        running.open_connections += 1
        try:
            while True:
                running.heads.append(await reader.readuntil(b"\r\n\r\n"))
                if isinstance(response, bytes):
                    writer.write(response)
                else:
                    await response(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            running.open_connections -= 1
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as listener:
        running.port = listener.sockets[0].getsockname()[1]
        yield running


async def get(
    transport: HttpTransport, url: str, headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[int, bytes]:
    request = httpx.Request("GET", url, headers=headers)
    response = await transport.handle_async_request(request)
    return response.status_code, await response.aread()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.01)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return file


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


def test_tls_connections_are_reused(certificate: Path) -> None:
    async def scenario() -> tuple[tuple[int, bytes], int]:
        async with (
            peer(tls=serving(certificate)) as server,
            HttpTransport(Proxies({}), 4, trusting(certificate)) as transport,
        ):
            for _ in range(3):
                response = await get(transport, f"https://localhost:{server.port}/")
            return response, server.connections

    assert uvloop.run(scenario()) == ((200, b"ok"), 1)


@pytest.mark.parametrize(("trusted", "host"), [(False, "localhost"), (True, "127.0.0.1")])
def test_a_server_with_an_untrusted_or_wrong_certificate_receives_no_request(
    certificate: Path, trusted: bool, host: str
) -> None:
    async def scenario() -> list[bytes]:
        context = trusting(certificate) if trusted else None
        async with peer(tls=serving(certificate)) as server, HttpTransport(Proxies({}), 4, context) as transport:
            with pytest.raises(httpx.ConnectError, match=r"TLS handshake with .* failed: .*certificate"):
                await get(transport, f"https://{host}:{server.port}/")
            return server.heads

    assert uvloop.run(scenario()) == []


def test_a_proxy_relays_tls_and_receives_its_credentials(certificate: Path) -> None:
    async def scenario() -> tuple[tuple[int, bytes], bytes]:
        async with peer(tls=serving(certificate)) as server:

            async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
                await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

            async with peer(tunnel) as proxy:
                environ = {"HTTPS_PROXY": f"http://us%20er:pass@127.0.0.1:{proxy.port}"}
                async with HttpTransport(Proxies(environ), 4, trusting(certificate)) as transport:
                    return await get(transport, f"https://localhost:{server.port}/"), proxy.heads[0]

    response, head = uvloop.run(scenario())
    assert response == (200, b"ok")
    assert b"\r\nproxy-authorization: Basic " + b64encode(b"us er:pass") + b"\r\n" in head


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nx: y", b"a\rb"])
def test_a_header_with_a_line_break_is_rejected(value: bytes) -> None:
    async def scenario() -> None:
        async with peer() as server, HttpTransport(Proxies({}), 4) as transport:
            with pytest.raises(httpx.LocalProtocolError, match="line break"):
                await get(transport, f"http://127.0.0.1:{server.port}/", [(b"cookie", value)])
            assert server.heads == []

    uvloop.run(scenario())


def test_methods_other_than_get_are_rejected() -> None:
    async def scenario() -> None:
        async with HttpTransport(Proxies({}), 4) as transport:
            with pytest.raises(httpx.LocalProtocolError, match="POST"):
                await transport.handle_async_request(httpx.Request("POST", "http://127.0.0.1:1/", content=b"x"))

    uvloop.run(scenario())


def test_an_error_has_its_request() -> None:
    async def scenario() -> None:
        async with HttpTransport(Proxies({}), 4) as transport:
            with pytest.raises(httpx.ConnectError) as caught:
                await get(transport, "http://127.0.0.1:1/x")
            assert caught.value.request.url.path == "/x"

    uvloop.run(scenario())


# --- responses --------------------------------------------------------------------------------------------------------


def response_to(response: bytes, times: int = 1) -> tuple[int, bytes]:
    async def scenario() -> tuple[int, bytes]:
        async with peer(response) as server, HttpTransport(Proxies({}), 4) as transport:
            for _ in range(times):
                found = await get(transport, f"http://127.0.0.1:{server.port}/")
            return found

    return uvloop.run(scenario())


def test_a_response_without_a_length_ends_with_its_connection() -> None:
    async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall ")
        await writer.drain()
        writer.write(b"of it")
        writer.close()

    async def scenario() -> tuple[int, bytes]:
        async with peer(closing) as server, HttpTransport(Proxies({}), 4) as transport:
            return await get(transport, f"http://127.0.0.1:{server.port}/")

    assert uvloop.run(scenario()) == (200, b"all of it")


def test_an_early_hint_is_skipped() -> None:
    assert response_to(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK) == (200, b"ok")


def test_an_unsolicited_response_is_never_used() -> None:
    assert response_to(OK + SECOND, times=3) == (200, b"ok")


def test_an_unsolicited_response_does_not_change_the_first() -> None:
    async def scenario() -> httpx.Response:
        async with peer(OK + SECOND) as server, HttpTransport(Proxies({}), 4) as transport:
            return await transport.handle_async_request(httpx.Request("GET", f"http://127.0.0.1:{server.port}/"))

    assert "set-cookie" not in uvloop.run(scenario()).headers


def test_an_upgrade_is_an_error() -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        response_to(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")


def test_endless_headers_are_an_error() -> None:
    with pytest.raises(httpx.ReadError, match="headers are longer"):
        response_to(b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_HEAD)


# --- idle connections -------------------------------------------------------------------------------------------------


def test_an_idle_connection_is_closed_in_time() -> None:
    async def scenario() -> None:
        async with peer() as server, HttpTransport(Proxies({}), 0.05) as transport:
            await asyncio.gather(*(get(transport, f"http://127.0.0.1:{server.port}/") for _ in range(3)))
            assert server.open_connections == 3
            await until(lambda: server.open_connections == 0)
            await get(transport, f"http://127.0.0.1:{server.port}/")
            await until(lambda: server.open_connections == 0)

    uvloop.run(scenario())


def test_closing_the_transport_closes_idle_connections() -> None:
    async def scenario() -> None:
        async with peer() as server:
            async with HttpTransport(Proxies({}), 60) as transport:
                await get(transport, f"http://127.0.0.1:{server.port}/")
                assert server.open_connections == 1
            await until(lambda: server.open_connections == 0)

    uvloop.run(scenario())


def test_a_canceled_call_closes_its_connection() -> None:
    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scenario() -> None:
        async with peer(never) as server, HttpTransport(Proxies({}), 60) as transport:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await get(transport, f"http://127.0.0.1:{server.port}/")
            await until(lambda: server.open_connections == 0)

    uvloop.run(scenario())
