"""An HTTP/1.1 transport for httpx, built on httptools, the parser of uvicorn.

A call over aiohttp costs twice as much, over httpx's own transport twenty times (README.md). This transport implements
only what calls between services need: GET, connection reuse, TLS, and HTTP proxies. It has no time limits: `Upstream`
limits each call as a whole.
"""

import asyncio
import ssl
from base64 import b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from bookinfo_chassis.proxies import Proxies

MAX_BODY = 1024 * 1024
"""Bytes. A longer body is an error, so that a faulty server cannot fill the memory."""

MAX_HEAD = 64 * 1024
"""Bytes. The same limit for all headers of a response together."""

POOL_SIZE = 512
"""Concurrent calls to all servers together. Further calls wait."""

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that define the end of a body. Without them the body ends with the connection (RFC 9112, 6.3)."""

DEFAULT_PORTS = {"http": 80, "https": 443}


class ConnectionClosedError(httpx.RemoteProtocolError):
    """The server closed the connection before the first byte of a response."""


@dataclass
class PartialResponse:
    """The part of a response that has been received."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    head_size: int = 0
    body_size: int = 0
    head_complete: bool = False
    ends_with_connection: bool = False
    keep_alive: bool = False


class Connection(asyncio.Protocol):
    """A connection that handles one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser: HttpResponseParser
        self._response: PartialResponse
        self._complete: asyncio.Future[PartialResponse] | None = None
        self._tunnel = False
        self.reused = False
        self.idle_since = 0.0

    async def send_request(self, request: bytes, *, tunnel: bool = False) -> PartialResponse:
        """Send a request and wait for its response. Raises `httpx.TransportError`.

        `tunnel` is True for CONNECT: its response ends with the headers.
        """
        if self.closed:
            raise ConnectionClosedError("the server has closed the connection")
        self._parser = HttpResponseParser(self)
        self._response = PartialResponse()
        self._tunnel = tunnel
        self._complete = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._complete
        finally:
            self._complete = None

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Switch to TLS. Raises OSError if the server's certificate is not trusted."""
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=host)
        self._transport = cast("asyncio.Transport", transport)

    def close(self) -> None:
        """Close the connection immediately."""
        self._transport.abort()

    @property
    def closed(self) -> bool:
        """Whether the connection is closed or closing."""
        return self._transport.is_closing()

    # --- callbacks of asyncio -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._complete is None or self._complete.done():  # data without a request
            self.close()
            return
        response = self._response
        if not response.head_complete:
            response.head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"invalid HTTP response: {error}"))
            return
        if response.head_size > MAX_HEAD and not response.head_complete:
            self._fail(httpx.ReadError(f"the response headers are longer than {MAX_HEAD} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._complete is None or self._complete.done():
            return
        if self._response.ends_with_connection and exc is None:
            self._complete.set_result(self._response)
        elif self._response.head_size:
            self._fail(httpx.ReadError("the server closed the connection during the response"))
        else:
            self._fail(ConnectionClosedError("the server closed the connection without a response"))

    # --- callbacks of httptools ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete is None or self._complete.done():  # a second response to one request
            self._response = PartialResponse()
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers.append((name, value))

    def on_headers_complete(self) -> None:
        response = self._response
        response.status = self._parser.get_status_code()
        response.keep_alive = self._parser.should_keep_alive()
        response.head_complete = True
        response.ends_with_connection = not any(name.lower() in FRAMING for name, _ in response.headers)
        if sum(len(name) + len(value) for name, value in response.headers) > MAX_HEAD:
            self._fail(httpx.ReadError(f"the response headers are longer than {MAX_HEAD} bytes"))
        elif self._tunnel:
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        self._response.body_size += len(chunk)
        if self._response.body_size > MAX_BODY:
            self._fail(httpx.ReadError(f"the response body is longer than {MAX_BODY} bytes"))
        else:
            self._response.body.append(chunk)

    def on_message_complete(self) -> None:
        if self._response.status < 200:  # 100 Continue or 103 Early Hints: the final response follows
            self._response = PartialResponse()
        else:
            self._finish()

    def _finish(self) -> None:
        if self._complete is not None and not self._complete.done():
            self._complete.set_result(self._response)

    def _fail(self, error: httpx.TransportError) -> None:
        if self._complete is not None and not self._complete.done():
            self._complete.set_exception(error)
        self.close()


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy, and the header with the user and password of its URL."""

    host: str
    port: int
    credentials: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str) -> "Proxy":
        """Parse the URL of a proxy. Raises `httpx.ProxyError` if it is invalid."""
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise httpx.ProxyError(f"invalid proxy {text!r}: {error}") from None
        if url.scheme != "http" or not url.host:
            raise httpx.ProxyError(f"unsupported proxy {url}; use a URL that starts with http://")
        credentials = b64encode(unquote(url.userinfo.decode()).encode())
        return cls(url.host, url.port or 80, (b"proxy-authorization: Basic " + credentials,) if url.userinfo else ())


@dataclass(frozen=True)
class Destination:
    """A server: its address, its proxy, and the idle connections to it."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None
    idle_connections: list[Connection]

    @property
    def tunneled(self) -> bool:
        """Whether the proxy relays bytes (CONNECT), as it does for TLS. Otherwise it receives the requests."""
        return self.proxy is not None and self.scheme == "https"


class HttpTransport(httpx.AsyncBaseTransport):
    """A transport for GET requests over HTTP/1.1. It follows no redirects and stores no cookies.

    Args:
        proxies: the proxy for each URL.
        idle_seconds: how long an idle connection is kept for reuse; 0: each request has its own connection.
        context: the trusted TLS certificates; default: those of the system.

    The addresses of a server are tried one after the other.
    """

    def __init__(self, proxies: Proxies, idle_seconds: float, context: ssl.SSLContext | None = None) -> None:
        self._proxies = proxies
        self._idle_seconds = idle_seconds
        self._context = context
        self._slots = asyncio.Semaphore(POOL_SIZE)
        self._destinations: dict[tuple[str, bytes], Destination] = {}
        self._idle: defaultdict[tuple[object, ...], list[Connection]] = defaultdict(list)
        self._idle_timer: asyncio.TimerHandle | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            async with self._slots:
                received = await self._send(self._destination(request.url), request)
        except httpx.TransportError as error:
            error.request = request
            raise
        return httpx.Response(
            received.status, headers=received.headers, stream=httpx.ByteStream(b"".join(received.body))
        )

    async def aclose(self) -> None:
        if self._idle_timer:
            self._idle_timer.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
            connections.clear()

    def _destination(self, url: httpx.URL) -> Destination:
        key = (url.scheme, url.netloc)
        if key not in self._destinations:
            text = self._proxies.find(url)
            proxy = Proxy.parse(text) if text else None
            server = (url.scheme, url.host, url.port or DEFAULT_PORTS[url.scheme])
            # A proxy accepts requests for all http:// servers on the same connections.
            idle_connections = self._idle[(proxy,) if proxy and url.scheme == "http" else (*server, proxy)]
            self._destinations[key] = Destination(*server, proxy, idle_connections)
        return self._destinations[key]

    async def _send(self, destination: Destination, request: httpx.Request) -> PartialResponse:
        message = self._message(destination, request)
        while True:
            connection = self._take_idle(destination) or await self._connect(destination)
            try:
                response = await connection.send_request(message)
            except ConnectionClosedError:
                # The server may have closed an idle connection just now. A GET can be retried (RFC 9110, 9.2.2).
                if not connection.reused:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                self._release(destination, connection, response)
                return response

    def _message(self, destination: Destination, request: httpx.Request) -> bytes:
        """Return the bytes of the request. Raises `httpx.LocalProtocolError` for another method or a line break."""
        if request.method != "GET":
            raise httpx.LocalProtocolError(f"unsupported method {request.method}; use GET")
        target = request.url.raw_path
        lines = [b"%b: %b" % header for header in request.headers.raw]
        if destination.proxy and not destination.tunneled:
            target = b"http://" + request.url.netloc + target
            lines += destination.proxy.credentials
        if not self._idle_seconds:
            lines.append(b"connection: close")
        message = b"\r\n".join([b"GET %b HTTP/1.1" % target, *lines, b"", b""])
        if message.count(b"\n") != len(lines) + 2 or message.count(b"\r") != len(lines) + 2:
            raise httpx.LocalProtocolError("a header contains a line break")
        return message

    async def _connect(self, destination: Destination) -> Connection:
        """Open a connection. Raises `httpx.ConnectError` or `httpx.ProxyError`."""
        loop = asyncio.get_running_loop()
        host, port = (
            (destination.proxy.host, destination.proxy.port)
            if destination.proxy
            else (destination.host, destination.port)
        )
        try:
            _, connection = await loop.create_connection(Connection, host, port)
        except (OSError, ValueError) as error:  # ValueError: an invalid DNS name
            raise httpx.ConnectError(f"cannot connect to {host} port {port}: {error}") from error
        try:
            if destination.tunneled:
                await self._open_tunnel(destination, connection)
            if destination.scheme == "https":
                self._context = self._context or ssl.create_default_context()
                await connection.start_tls(self._context, destination.host)
        except OSError as error:
            connection.close()
            raise httpx.ConnectError(
                f"TLS handshake with {destination.host} port {destination.port} failed: {error}"
            ) from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def _open_tunnel(self, destination: Destination, connection: Connection) -> None:
        name = f"[{destination.host}]" if ":" in destination.host else destination.host
        server = f"{name}:{destination.port}".encode()
        credentials = destination.proxy.credentials if destination.proxy else ()
        lines = [b"CONNECT %b HTTP/1.1" % server, b"host: " + server, *credentials, b"", b""]
        response = await connection.send_request(b"\r\n".join(lines), tunnel=True)
        if not 200 <= response.status < 300:
            raise httpx.ProxyError(f"the proxy returned {response.status} for CONNECT {server.decode()}")

    # --- the pool -----------------------------------------------------------------------------------------------------

    def _take_idle(self, destination: Destination) -> Connection | None:
        """Return the idle connection that was used last, or None."""
        while destination.idle_connections:
            connection = destination.idle_connections.pop()
            if not connection.closed:
                return connection
        return None

    def _release(self, destination: Destination, connection: Connection, response: PartialResponse) -> None:
        if connection.closed or not response.keep_alive or not self._idle_seconds:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.reused = True
        connection.idle_since = loop.time()
        destination.idle_connections.append(connection)
        if self._idle_timer is None:
            self._idle_timer = loop.call_later(self._idle_seconds, self._close_idle)

    def _close_idle(self) -> None:
        """Close connections that have been idle for too long, and schedule the next check."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_seconds
        for connections in self._idle.values():
            for connection in [each for each in connections if each.closed or each.idle_since <= oldest]:
                connections.remove(connection)
                connection.close()
        idle_since = [connection.idle_since for connections in self._idle.values() for connection in connections]
        self._idle_timer = loop.call_at(min(idle_since) + self._idle_seconds, self._close_idle) if idle_since else None
