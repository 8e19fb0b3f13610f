"""`Upstream` on `HttpTransport`, with real servers that misbehave, and real proxies."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from bookinfo_chassis.client import Upstream
from bookinfo_chassis.fastpath.transport import MAX_BODY, HttpTransport
from bookinfo_chassis.metrics import CallMetrics
from bookinfo_chassis.propagation import PropagationMiddleware
from bookinfo_chassis.proxies import Proxies
from bookinfo_productpage.app import create_app as create_productpage
from bookinfo_productpage.settings import Settings as ProductpageSettings

CALLS = CallMetrics(CollectorRegistry())

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
Result = TypeVar("Result")

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@dataclass
class Server:
    """A TCP server on loopback, the received requests, and the number of connections."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[Server]:
    """Run a server. `serve` receives the head of each request."""
    running = Server("")
    writers: set[asyncio.StreamWriter] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                running.requests.append(head)
                await serve(reader, writer, head)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(connection, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        listener.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)


def respond_with(*parts: bytes, pause: float = 0, close: bool = False, reset: bool = False) -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if close or reset:
            writer.close()

    return serve


def body(content: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return OK + lines + b"content-length: %d\r\n\r\n" % len(content) + content


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
    await asyncio.sleep(3600)


async def send_slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
    writer.write(OK + b"content-length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


def get(
    serve: Serve,
    *,
    limit: float = 5,
    times: int = 1,
    idle: float = 4,
    environ: Mapping[str, str] | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> tuple[Any, Server]:
    """Call a server that behaves like `serve`. Return the last response or error, and the server."""

    async def scenario() -> tuple[Any, Server]:
        async with server(serve) as peer, HttpTransport(Proxies(environ or {}), idle) as transport:
            upstream = Upstream(peer.url, transport, limit, CALLS)
            outcome: Any = None
            for _ in range(times):
                try:
                    outcome = await upstream.get("/x", headers or [])
                except httpx.TransportError as error:
                    outcome = error
            return outcome, peer

    return asyncio.run(scenario())


# --- responses --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_response_is_read_completely() -> None:
    response, _ = get(respond_with(body(b'{"a": 1}')))
    assert (response.status_code, response.content) == (200, b'{"a": 1}')


def test_a_chunked_response_is_read_completely() -> None:
    response, _ = get(
        respond_with(OK + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"1\r\nc\r\n", b"0\r\n\r\n")
    )
    assert response.content == b"abc"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_response_without_a_body_is_empty(status: bytes) -> None:
    response, _ = get(respond_with(b"HTTP/1.1 " + status + b"\r\n\r\n"))
    assert (response.status_code, response.content) == (int(status[:3]), b"")


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 100 Continue\r\n\r\n", body(b"abc")],
        [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + body(b"abc")],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\ntrailer: x\r\n\r\n"],
        [bytes([byte]) for byte in body(b"abc")],
    ],
    ids=["after 100", "after 103 twice", "with a trailer", "byte by byte"],
)
def test_every_valid_framing_of_a_response_is_supported(parts: list[bytes]) -> None:
    response, peer = get(respond_with(*parts), times=2)
    assert (response.status_code, response.content) == (200, b"abc")
    assert peer.connections == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_response_without_a_length_ends_with_its_connection(version: bytes) -> None:
    response, peer = get(respond_with(b"HTTP/" + version + b" 200 OK\r\n\r\nall of", b" it", close=True), times=2)
    assert (response.status_code, response.content) == (200, b"all of it")
    assert peer.connections == 2


def test_a_redirect_is_not_followed() -> None:
    response, peer = get(respond_with(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"))
    assert response.status_code == 302
    assert len(peer.requests) == 1


def test_a_refused_connection_is_a_connect_error() -> None:
    async def scenario() -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
            async with HttpTransport(Proxies({}), 4) as transport:
                with pytest.raises(httpx.ConnectError):
                    await Upstream(url, transport, 5, CALLS).get("/")

    asyncio.run(scenario())


def test_a_name_that_does_not_resolve_is_a_connect_error() -> None:
    async def scenario() -> None:
        async with HttpTransport(Proxies({}), 4) as transport:
            with pytest.raises((httpx.ConnectError, httpx.TimeoutException)):
                await Upstream("http://no-such-service.invalid", transport, 5, CALLS).get("/")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "serve",
    [
        respond_with(close=True),
        respond_with(reset=True),
        respond_with(OK, close=True),
        respond_with(OK + b"content-length: 10\r\n\r\nhalf", close=True),
        respond_with(OK + b"content-length: 10\r\n\r\nhalf", reset=True),
        respond_with(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel", close=True),
        respond_with(OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n", close=True),
        respond_with(b"SSH-2.0-OpenSSH_9.2\r\n", close=True),
        respond_with(b"HTTP/1.1 abc\r\n\r\n", close=True),
        respond_with(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000 + b"\r\n\r\n", close=True),
        respond_with(b"\x00" * 100, close=True),
    ],
)
def test_an_incomplete_or_invalid_response_is_a_transport_error(serve: Serve) -> None:
    outcome, _ = get(serve)
    assert isinstance(outcome, httpx.TransportError)
    assert not isinstance(outcome, httpx.TimeoutException)


@pytest.mark.parametrize("serve", [silent, send_slowly, respond_with(OK, pause=3600)])
def test_a_response_that_exceeds_the_time_limit_as_a_whole_is_a_timeout(serve: Serve) -> None:
    began = monotonic()
    outcome, _ = get(serve, limit=0.3)
    assert isinstance(outcome, httpx.TimeoutException)
    assert 0.3 <= monotonic() - began < 3


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_beyond_the_size_limit_is_an_error(chunked: bool) -> None:
    size = MAX_BODY + 1
    if chunked:
        serve = respond_with(OK + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % size, b"x" * size + b"\r\n0\r\n\r\n")
    else:
        serve = respond_with(body(b"x" * size))
    outcome, _ = get(serve)
    assert isinstance(outcome, httpx.ReadError)


def test_a_body_at_the_size_limit_is_accepted() -> None:
    response, _ = get(respond_with(body(b"x" * MAX_BODY)))
    assert len(response.content) == MAX_BODY


@pytest.mark.parametrize("content", [gzip.compress(b"0" * 50_000_000, 1), b"not gzip"])
def test_an_encoded_body_is_an_error_and_is_not_decoded(content: bytes) -> None:
    outcome, _ = get(respond_with(body(content, b"content-encoding: gzip")))
    assert isinstance(outcome, httpx.RemoteProtocolError)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_only_the_given_headers_and_host_are_sent() -> None:
    _, peer = get(respond_with(body(b"")), headers=[(b"x-request-id", b"1")])
    lines = peer.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /x HTTP/1.1"
    names = [line.split(":")[0].lower() for line in lines[1:] if line]
    assert sorted(names) == ["host", "x-request-id"]


@pytest.mark.parametrize(
    "value",
    [b"plain", b"Zo\xeb", b"with  inner\tspace", b"a=b; c=d, e", b"Zo\xc3\xab", b"%41%zz", b'"quoted\\"', b"x" * 7000],
    ids=lambda value: value[:10],
)
def test_a_header_is_sent_unchanged(value: bytes) -> None:
    async def scenario() -> list[bytes]:
        async with server(respond_with(body(b""))) as peer, HttpTransport(Proxies({}), 4) as transport:
            upstream = Upstream(peer.url, transport, 5, CALLS)

            async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
                await upstream.get("/")

            scope = {"type": "http", "headers": [(b"cookie", value), (b"baggage", value), (b"baggage", b"second")]}
            await PropagationMiddleware(app)(scope, None, None)  # type: ignore[arg-type]
            return peer.requests

    (head,) = asyncio.run(scenario())
    sent = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[1:] if line]
    headers = [(name.lower(), content) for name, content in sent]
    assert [pair for pair in headers if pair[0] in {b"cookie", b"baggage"}] == [
        (b"cookie", value),
        (b"baggage", value),
        (b"baggage", b"second"),
    ]


def test_a_path_is_sent_unchanged() -> None:
    async def scenario() -> bytes:
        async with server(respond_with(body(b""))) as peer, HttpTransport(Proxies({}), 4) as transport:
            await Upstream(peer.url, transport, 5, CALLS).get("/books/v1/volumes?q=isbn:0486424618")
            return peer.requests[0].split(b"\r\n")[0]

    assert asyncio.run(scenario()) == b"GET /books/v1/volumes?q=isbn:0486424618 HTTP/1.1"


def test_cookies_of_a_backend_are_not_sent_back() -> None:
    _, peer = get(respond_with(body(b"", b"set-cookie: tracking=1; path=/")), times=2)
    assert all(b"tracking" not in head for head in peer.requests)


# --- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_is_reused() -> None:
    _, peer = get(respond_with(body(b"x")), times=5)
    assert (len(peer.requests), peer.connections) == (5, 1)


def test_without_idle_seconds_each_call_has_its_own_connection() -> None:
    _, peer = get(respond_with(body(b"x")), times=5, idle=0)
    assert (len(peer.requests), peer.connections) == (5, 5)


def test_a_call_on_a_closed_connection_is_retried_on_a_new_one() -> None:
    response, peer = get(respond_with(body(b"x"), pause=0.01, close=True), times=5)
    assert response.status_code == 200
    assert len(peer.requests) == 5


@pytest.mark.parametrize(
    "response",
    [
        body(b"x", b"connection: close"),
        body(b"x").replace(b"HTTP/1.1", b"HTTP/1.0"),
        body(b"x") + b"unsolicited data",
        body(b"x") + body(b"y"),
    ],
    ids=["connection: close", "HTTP/1.0", "followed by data", "followed by a response"],
)
def test_a_connection_in_an_unknown_state_is_not_reused(response: bytes) -> None:
    last, peer = get(respond_with(response), times=3)
    assert last.content == b"x"
    assert peer.connections == 3


def test_unsolicited_data_is_never_the_next_response() -> None:
    async def scenario() -> list[bytes]:
        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
            writer.write(body(b"requested"))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(body(b"unsolicited"))

        async with server(serve) as peer, HttpTransport(Proxies({}), 4) as transport:
            upstream = Upstream(peer.url, transport, 5, CALLS)
            contents = []
            for _ in range(3):
                contents.append((await upstream.get("/")).content)
                await asyncio.sleep(0.1)
            return contents

    assert asyncio.run(scenario()) == [b"requested"] * 3


def test_an_idle_connection_is_closed_after_idle_seconds() -> None:
    async def scenario() -> int:
        async with server(respond_with(body(b"x"))) as peer, HttpTransport(Proxies({}), 0.05) as transport:
            upstream = Upstream(peer.url, transport, 5, CALLS)
            await upstream.get("/")
            await asyncio.sleep(0.3)
            await upstream.get("/")
            return peer.connections

    assert asyncio.run(scenario()) == 2


def test_all_addresses_of_a_name_are_tried() -> None:
    async def scenario() -> int:
        async with (
            server(respond_with(body(b"x"))) as peer,
            HttpTransport(Proxies({}), 4) as transport,
        ):  # on 127.0.0.1 alone
            url = peer.url.replace("127.0.0.1", "localhost")
            return (await Upstream(url, transport, 5, CALLS).get("/")).status_code

    assert asyncio.run(scenario()) == 200


@pytest.mark.parametrize("value", [b"a\r\nx-admin: 1", b"a\nx-admin: 1", b"a\rb"])
def test_a_header_with_a_line_break_is_not_sent(value: bytes) -> None:
    outcome, peer = get(respond_with(body(b"x")), headers=[(b"end-user", value)])
    assert isinstance(outcome, httpx.LocalProtocolError)
    assert peer.requests == []


def test_a_connection_with_a_partly_read_response_is_not_reused() -> None:
    outcome, peer = get(respond_with(OK + b"content-length: 9999999\r\n\r\n" + b"x" * (MAX_BODY + 1)), times=3)
    assert isinstance(outcome, httpx.ReadError)
    assert peer.connections == 3


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_receives_the_request_with_the_service_name(variable: str, scheme: str) -> None:
    async def scenario() -> bytes:
        async with server(respond_with(body(b"by proxy"))) as proxy:
            environ = {variable: scheme + proxy.url.removeprefix("http://")}
            async with HttpTransport(Proxies(environ), 4) as transport:
                response = await Upstream("http://reviews.invalid:9080", transport, 5, CALLS).get("/reviews/0")
                assert response.content == b"by proxy"
                return proxy.requests[0]

    head = asyncio.run(scenario())
    assert head.startswith(b"GET http://reviews.invalid:9080/reviews/0 HTTP/1.1\r\n")
    assert b"host: reviews.invalid:9080" in head.lower()


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_a_host_in_no_proxy_is_called_directly(variable: str) -> None:
    async def scenario() -> tuple[bytes, int]:
        async with server(respond_with(body(b"by proxy"))) as proxy, server(respond_with(body(b"direct"))) as peer:
            environ = {"HTTP_PROXY": proxy.url, variable: "example.com,127.0.0.1"}
            async with HttpTransport(Proxies(environ), 4) as transport:
                response = await Upstream(peer.url, transport, 5, CALLS).get("/")
                return response.content, proxy.connections

    assert asyncio.run(scenario()) == (b"direct", 0)


def test_calls_through_a_proxy_share_connections() -> None:
    async def scenario() -> int:
        async with (
            server(respond_with(body(b"x"))) as proxy,
            HttpTransport(Proxies({"HTTP_PROXY": proxy.url}), 4) as transport,
        ):
            for name in ("details", "reviews", "ratings") * 3:
                await Upstream(f"http://{name}.invalid:9080", transport, 5, CALLS).get("/")
            return proxy.connections

    assert asyncio.run(scenario()) <= 3


def test_https_uses_connect_and_hides_the_request_from_the_proxy() -> None:
    async def scenario() -> bytes:
        async with (
            server(respond_with(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", close=True)) as proxy,
            HttpTransport(Proxies({"HTTPS_PROXY": proxy.url}), 4) as transport,
        ):
            with pytest.raises(httpx.TransportError):
                await Upstream("https://books.invalid", transport, 5, CALLS).get("/secret")
            return proxy.requests[0]

    head = asyncio.run(scenario())
    assert head.startswith(b"CONNECT books.invalid:443 HTTP/1.1\r\n")
    assert b"secret" not in head


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "http://[bad", "nonsense://"])
def test_an_unusable_proxy_is_a_transport_error(proxy: str) -> None:
    async def scenario() -> None:
        async with HttpTransport(Proxies({"HTTP_PROXY": proxy}), 4) as transport:
            with pytest.raises(httpx.TransportError):
                await Upstream("http://reviews:9080", transport, 5, CALLS).get("/")

    asyncio.run(scenario())


# --- the page over real sockets ---------------------------------------------------------------------------------------


async def browse(app: FastAPI, path: str) -> httpx.Response:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://productpage") as browser,
    ):
        return await browser.get(path)


@pytest.mark.parametrize(
    "serve",
    [
        respond_with(close=True),
        respond_with(reset=True),
        respond_with(OK + b"content-length: 10\r\n\r\nhalf", close=True),
        respond_with(b"SSH-2.0-OpenSSH_9.2\r\n", close=True),
        respond_with(body(b"<html>")),
        respond_with(body(b"x" * (MAX_BODY + 1))),
        respond_with(body(b"not gzip", b"content-encoding: gzip")),
        respond_with(b"HTTP/1.1 204 No Content\r\n\r\n"),
        respond_with(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
        respond_with(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"),
    ],
)
def test_the_page_is_200_and_the_api_is_500_for_every_failure_of_a_backend(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with server(serve) as peer:
            monkeypatch.setenv("HTTP_PROXY", peer.url)
            monkeypatch.delenv("http_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            settings = ProductpageSettings.load(session_secret="a key of enough length")
            return await browse(create_productpage(settings), "/productpage"), await browse(
                create_productpage(settings), "/api/v1/products/0"
            )

    page, api = asyncio.run(scenario())
    assert page.status_code == 200
    assert "Error fetching product details" in page.text
    assert "Error fetching product reviews" in page.text
    assert api.status_code == 500
    assert api.json() == {"error": "Sorry, product details are currently unavailable for this book."}


def test_slow_bodies_delay_the_page_by_two_attempts_of_3_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> httpx.Response:
        async with server(send_slowly) as peer:
            monkeypatch.setenv("http_proxy", peer.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            return await browse(
                create_productpage(ProductpageSettings.load(session_secret="a key of enough length")), "/productpage"
            )

    began = monotonic()
    response = asyncio.run(scenario())
    assert response.status_code == 200
    assert "Sorry, product reviews are currently unavailable for this book." in response.text
    assert 6 <= monotonic() - began < 9
