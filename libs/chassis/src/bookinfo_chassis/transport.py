"""HTTP/1.1 on the wire: an httpx transport on httptools, the parser that uvicorn brings.

A call over aiohttp costs twice as much, over httpx's own transport twenty times (docs/performance.md). This does what
calls between services need and no more: GETs on kept connections, by TLS, through HTTP proxies. It knows no limits of
time: `Upstream` limits a call as a whole.
"""

import asyncio
import ssl
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_BODY = 1024 * 1024
"""Bytes; a longer body is an error, so that a broken peer cannot fill the memory."""

MAX_HEAD = 64 * 1024
"""Bytes; the same for all headers of an answer together."""

POOL_SIZE = 512
"""Connections at once, to all peers together; further calls wait."""

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that tell where a body ends; without one it ends with the connection (RFC 9112, 6.3)."""

DEFAULT_PORTS = {"http": 80, "https": 443}


class GoneError(httpx.RemoteProtocolError):
    """The peer closed the connection before the first byte of an answer."""


@dataclass
class Answer:
    """An answer, as far as it has come."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    head_size: int = 0
    body_size: int = 0
    head_complete: bool = False
    ends_with_connection: bool = False
    keep_alive: bool = False


class Connection(asyncio.Protocol):
    """A connection, with one request on its way at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser: HttpResponseParser
        self._answer: Answer
        self._answered: asyncio.Future[Answer] | None = None
        self._tunnel = False
        self.used = False
        self.idle_since = 0.0

    async def exchange(self, request: bytes, *, tunnel: bool = False) -> Answer:
        """Send a request, wait for its answer. Raises `httpx.TransportError`.

        `tunnel`: it is a CONNECT, whose answer ends with its headers.
        """
        if self.closed:
            raise GoneError("the peer has closed the connection")
        self._parser = HttpResponseParser(self)
        self._answer = Answer()
        self._tunnel = tunnel
        self._answered = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._answered
        finally:
            self._answered = None

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on. Raises OSError when the peer cannot be trusted."""
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=host)
        self._transport = cast("asyncio.Transport", transport)

    def close(self) -> None:
        """Give it up."""
        self._transport.abort()

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._transport.is_closing()

    # --- what asyncio calls -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answered is None or self._answered.done():  # more than was asked for
            self.close()
            return
        answer = self._answer
        if not answer.head_complete:
            answer.head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"what came is no answer: {error}"))
            return
        if answer.head_size > MAX_HEAD and not answer.head_complete:
            self._fail(httpx.ReadError(f"headers longer than {MAX_HEAD} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is None or self._answered.done():
            return
        if self._answer.ends_with_connection and exc is None:
            self._answered.set_result(self._answer)
        elif self._answer.head_size:
            self._fail(httpx.ReadError("the peer broke off its answer"))
        else:
            self._fail(GoneError("the peer closed the connection without an answer"))

    # --- what httptools calls -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answered is None or self._answered.done():  # a second answer, which nobody asked for
            self._answer = Answer()
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        answer = self._answer
        answer.status = self._parser.get_status_code()
        answer.keep_alive = self._parser.should_keep_alive()
        answer.head_complete = True
        answer.ends_with_connection = not any(name.lower() in FRAMING for name, _ in answer.headers)
        if sum(len(name) + len(value) for name, value in answer.headers) > MAX_HEAD:
            self._fail(httpx.ReadError(f"headers longer than {MAX_HEAD} bytes"))
        elif self._tunnel:
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        self._answer.body_size += len(chunk)
        if self._answer.body_size > MAX_BODY:
            self._fail(httpx.ReadError(f"an answer longer than {MAX_BODY} bytes"))
        else:
            self._answer.body.append(chunk)

    def on_message_complete(self) -> None:
        if self._answer.status < 200:  # 100 Continue or 103 Early Hints: the answer is still to come
            self._answer = Answer()
        else:
            self._finish()

    def _finish(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._answer)

    def _fail(self, error: httpx.TransportError) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        self.close()


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy, and the header that it wants for the user and password in its URL."""

    host: str
    port: int
    credentials: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str) -> "Proxy":
        """From its URL. Raises `httpx.ProxyError` for what is none."""
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise httpx.ProxyError(f"{text!r} is no proxy: {error}") from None
        if url.scheme != "http" or not url.host:
            raise httpx.ProxyError(f"{url} is no proxy that can be used: its URL starts with http://")
        credentials = b64encode(unquote(url.userinfo.decode()).encode())
        return cls(url.host, url.port or 80, (b"proxy-authorization: Basic " + credentials,) if url.userinfo else ())


@dataclass(frozen=True)
class Origin:
    """A server as it is reached: its address, its proxy, and the kept connections that lead to it."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None
    kept: list[Connection]

    @property
    def tunneled(self) -> bool:
        """Whether the proxy only passes bytes on (CONNECT), as for TLS; else it reads the requests."""
        return self.proxy is not None and self.scheme == "https"


class HttpTransport(httpx.AsyncBaseTransport):
    """GETs over HTTP/1.1. Proxies are those of `environ`; redirects are not followed, cookies not kept.

    A connection is kept for `idle_seconds`; 0: each call has its own. `context` says whom to trust by TLS; default:
    whom the system trusts. A server's addresses are tried one after the other.
    """

    def __init__(self, environ: Mapping[str, str], idle_seconds: float, context: ssl.SSLContext | None = None) -> None:
        self._proxies = Proxies(environ)
        self._idle_seconds = idle_seconds
        self._context = context
        self._slots = asyncio.Semaphore(POOL_SIZE)
        self._origins: dict[tuple[str, bytes], Origin] = {}
        self._kept: defaultdict[tuple[object, ...], list[Connection]] = defaultdict(list)
        self._sweep: asyncio.TimerHandle | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            async with self._slots:
                answer = await self._exchange(self._origin(request.url), request)
        except httpx.TransportError as error:
            error.request = request
            raise
        return httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(b"".join(answer.body)))

    async def aclose(self) -> None:
        if self._sweep:
            self._sweep.cancel()
        for connections in self._kept.values():
            for connection in connections:
                connection.close()
            connections.clear()

    def _origin(self, url: httpx.URL) -> Origin:
        key = (url.scheme, url.netloc)
        if key not in self._origins:
            text = self._proxies.find(url)
            proxy = Proxy.parse(text) if text else None
            server = (url.scheme, url.host, url.port or DEFAULT_PORTS[url.scheme])
            # A proxy takes plain requests for all servers on the same connections.
            kept = self._kept[(proxy,) if proxy and url.scheme == "http" else (*server, proxy)]
            self._origins[key] = Origin(*server, proxy, kept)
        return self._origins[key]

    async def _exchange(self, origin: Origin, request: httpx.Request) -> Answer:
        message = self._message(origin, request)
        while True:
            connection = self._take(origin) or await self._connect(origin)
            try:
                answer = await connection.exchange(message)
            except GoneError:
                # The peer may have closed a kept connection just now. A GET can be sent again (RFC 9110, 9.2.2).
                if not connection.used:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                self._give_back(origin, connection, answer)
                return answer

    def _message(self, origin: Origin, request: httpx.Request) -> bytes:
        """The request as it is sent. Raises `httpx.LocalProtocolError` for what would be another request."""
        if request.method != "GET":
            raise httpx.LocalProtocolError(f"{request.method}: only GET is spoken here")
        target = request.url.raw_path
        lines = [b"%b: %b" % header for header in request.headers.raw]
        if origin.proxy and not origin.tunneled:
            target = b"http://" + request.url.netloc + target
            lines += origin.proxy.credentials
        if not self._idle_seconds:
            lines.append(b"connection: close")
        message = b"\r\n".join([b"GET %b HTTP/1.1" % target, *lines, b"", b""])
        if message.count(b"\n") != len(lines) + 2 or message.count(b"\r") != len(lines) + 2:
            raise httpx.LocalProtocolError("a header with a line break in it")
        return message

    async def _connect(self, origin: Origin) -> Connection:
        """A new connection. Raises `httpx.ConnectError` or `httpx.ProxyError`."""
        loop = asyncio.get_running_loop()
        host, port = (origin.proxy.host, origin.proxy.port) if origin.proxy else (origin.host, origin.port)
        try:
            _, connection = await loop.create_connection(Connection, host, port)
        except (OSError, ValueError) as error:  # ValueError: a name that no DNS name can be
            raise httpx.ConnectError(f"cannot connect to {host} port {port}: {error}") from error
        try:
            if origin.tunneled:
                await self._tunnel(origin, connection)
            if origin.scheme == "https":
                self._context = self._context or ssl.create_default_context()
                await connection.encrypt(self._context, origin.host)
        except OSError as error:
            connection.close()
            raise httpx.ConnectError(f"no TLS with {origin.host} port {origin.port}: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def _tunnel(self, origin: Origin, connection: Connection) -> None:
        name = f"[{origin.host}]" if ":" in origin.host else origin.host
        server = f"{name}:{origin.port}".encode()
        credentials = origin.proxy.credentials if origin.proxy else ()
        lines = [b"CONNECT %b HTTP/1.1" % server, b"host: " + server, *credentials, b"", b""]
        answer = await connection.exchange(b"\r\n".join(lines), tunnel=True)
        if not 200 <= answer.status < 300:
            raise httpx.ProxyError(f"the proxy answered {answer.status} to CONNECT {server.decode()}")

    # --- the pool -----------------------------------------------------------------------------------------------------

    def _take(self, origin: Origin) -> Connection | None:
        """The kept connection that was used last."""
        while origin.kept:
            connection = origin.kept.pop()
            if not connection.closed:
                return connection
        return None

    def _give_back(self, origin: Origin, connection: Connection, answer: Answer) -> None:
        if connection.closed or not answer.keep_alive or not self._idle_seconds:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.used = True
        connection.idle_since = loop.time()
        origin.kept.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_seconds, self._close_idle)

    def _close_idle(self) -> None:
        """Close what has been idle for too long, and come back when the next one will have been."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_seconds
        for connections in self._kept.values():
            for connection in [each for each in connections if each.closed or each.idle_since <= oldest]:
                connections.remove(connection)
                connection.close()
        since = [connection.idle_since for connections in self._kept.values() for connection in connections]
        self._sweep = loop.call_at(min(since) + self._idle_seconds, self._close_idle) if since else None


class Proxies:
    """Which proxy a URL is reached by: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, read once. The lower-case spelling wins.

    httpx looks at these variables only when it makes its transport itself.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._by_scheme: dict[str, str] = {}
        for scheme in ("http", "https", "no"):
            value = environ.get(f"{scheme}_proxy", environ.get(f"{scheme}_proxy".upper(), ""))
            if value:
                self._by_scheme[scheme] = value if "://" in value or scheme == "no" else f"http://{value}"

    def find(self, url: httpx.URL) -> str | None:
        """The proxy's URL; None: none."""
        names = {url.host, url.netloc.decode()}  # NO_PROXY may name a host, or a host and its port
        bypassed = any(proxy_bypass_environment(name, self._by_scheme) for name in names)
        return None if bypassed else self._by_scheme.get(url.scheme)
