"""Calls to other services: httpx's types and errors, with aiohttp's connection pool under them.

httpx's own transport costs five times the CPU of aiohttp's for a call (docs/performance.md); so requests, responses,
errors and test transports are httpx's, and `AiohttpTransport` is what lies under them in production.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
import httpx
from yarl import URL

from bookinfo_chassis.metrics import CallMetrics
from bookinfo_chassis.propagation import RawHeaders, propagated_headers
from bookinfo_chassis.tracing import Call

MAX_ANSWER = 1024 * 1024
"""Bytes; a longer answer is an error, so that a broken peer cannot fill the memory."""

NO_BODY = httpx.ByteStream(b"")

POOL_SIZE = 512
"""Connections at once, to all peers together."""


class Reply(NamedTuple):
    """What a service answered: its status, the body as it was sent, its headers."""

    status_code: int
    content: bytes
    headers: httpx.Headers


class Upstream:
    """A service that this one calls: its base URL, and its time limit in seconds for a whole call."""

    def __init__(
        self,
        base_url: str,
        transport: httpx.AsyncBaseTransport,
        time_limit: float,
        metrics: CallMetrics,
        *,
        propagate: bool = True,
    ) -> None:
        self._base_url = base_url
        self._host = (b"Host", httpx.URL(base_url).netloc)
        self._destination = httpx.URL(base_url).host
        self._transport = transport
        self._metrics = metrics
        self._propagate = propagate
        self._time_limit = time_limit
        self._extensions = {
            "timeout": {"connect": time_limit, "read": time_limit, "write": time_limit, "pool": time_limit}
        }

    async def get(self, path: str, headers: RawHeaders = (), *, repeated: bool = False) -> Reply:
        """GET `path`; the current request's propagated headers go along unless this peer is outside the mesh.

        `repeated` says that this call repeats a failed one.
        Redirects are not followed. Raises `httpx.TransportError` when there is no answer within the time limit.
        """
        if repeated:
            self._metrics.retries.labels(self._destination).inc()
        url = _parsed(self._base_url + path)
        with Call("GET", url) as call:
            propagated = call.headers(propagated_headers()) if self._propagate else ()
            request = httpx.Request(
                "GET",
                url,
                headers=[self._host, *propagated, *headers],
                stream=NO_BODY,  # given one, httpx looks for no headers to add, which would double a request's cost
                extensions=self._extensions,
            )
            reply = await self._send(request)
            call.answered(reply.status_code, reply.headers)
            return reply

    async def _send(self, request: httpx.Request) -> Reply:
        start = perf_counter()
        status = "none"
        try:
            async with asyncio.timeout(self._time_limit):
                response = await self._transport.handle_async_request(request)
                try:
                    reply = Reply(response.status_code, await _read(response, request), response.headers)
                finally:
                    await response.aclose()
            status = str(reply.status_code)
        except httpx.TimeoutException:
            self._metrics.timeouts.labels(self._destination).inc()
            raise
        except TimeoutError:
            self._metrics.timeouts.labels(self._destination).inc()
            raise httpx.ReadTimeout(f"no answer within {self._time_limit:g} s", request=request) from None
        else:
            return reply
        finally:
            self._metrics.observe(self._destination, status, perf_counter() - start)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """An httpx transport on an aiohttp session: pooled, proxies from `environ`, no cookies kept, no redirects."""

    def __init__(self, environ: Mapping[str, str], idle_seconds: float, ssl: Any = True) -> None:
        connector = aiohttp.TCPConnector(
            limit=POOL_SIZE,
            ssl=ssl,
            force_close=idle_seconds == 0,
            keepalive_timeout=idle_seconds or None,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept-encoding", "content-type", "user-agent"),
        )
        self._proxies = _Proxies(environ)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits = request.extensions["timeout"]
        try:
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(_text(name), _text(value)) for name, value in request.headers.raw],
                data=await request.aread() or None,
                allow_redirects=False,
                proxy=self._proxies.find(request.url),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=limits["pool"], sock_connect=limits["connect"], sock_read=limits["read"]
                ),
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _httpx_error(error, request) from error
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer, request))

    async def aclose(self) -> None:
        await self._session.close()


class _Body(httpx.AsyncByteStream):
    """The body of an answer as it comes in."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _httpx_error(error, self._request) from error

    async def aclose(self) -> None:
        self._answer.release()


class _Proxies:
    """Which proxy a URL is reached by: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, read once. The lower-case spelling wins.

    httpx looks at these variables only when it makes its transport itself, aiohttp only at every single call.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._by_scheme: dict[str, str] = {}
        for scheme in ("http", "https", "no"):
            value = environ.get(f"{scheme}_proxy", environ.get(f"{scheme}_proxy".upper(), ""))
            if value:
                self._by_scheme[scheme] = value if "://" in value or scheme == "no" else f"http://{value}"
        self._found: dict[tuple[str, str], str | None] = {}

    def find(self, url: httpx.URL) -> str | None:
        key = (url.scheme, url.netloc.decode())
        if key not in self._found:
            names = {url.host, url.netloc.decode()}  # NO_PROXY may name a host, or a host and its port
            bypassed = any(proxy_bypass_environment(name, self._by_scheme) for name in names)
            self._found[key] = None if bypassed else self._by_scheme.get(url.scheme)
        return self._found[key]


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _text(value: bytes) -> str:
    """A header as aiohttp wants it: it sends UTF-8, so what came as UTF-8 leaves byte for byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _read(response: httpx.Response, request: httpx.Request) -> bytes:
    """The body, whole and not decoded: no encoding was accepted, and decoded it could be of any length."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.RemoteProtocolError("an answer in an encoding not asked for", request=request)
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
        size += len(chunk)
        if size > MAX_ANSWER:
            raise httpx.ReadError(f"an answer longer than {MAX_ANSWER} bytes", request=request)
        chunks.append(chunk)
    return b"".join(chunks)


def _httpx_error(error: Exception, request: httpx.Request) -> httpx.TransportError:
    """One of aiohttp's errors as httpx's. The order matters: the first are subclasses of the later."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(str(error), request=request)
        case TimeoutError():
            return httpx.ReadTimeout(str(error), request=request)
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(str(error), request=request)
        case aiohttp.ClientPayloadError():
            return httpx.ReadError(str(error), request=request)
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError(str(error), request=request)
        case aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError(error.message, request=request)
        case aiohttp.ClientError() | OSError():
            return httpx.NetworkError(str(error), request=request)
        case _:
            return httpx.LocalProtocolError(str(error), request=request)
