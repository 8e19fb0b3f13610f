"""Calls to other services: httpx's types and errors, with aiohttp's connection pool under them.

httpx's own transport costs five times the CPU of aiohttp's for a call (docs/performance.md); so requests, responses,
errors and test transports are httpx's, and `AiohttpTransport` is what lies under them in production.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
import httpx
from yarl import URL

from bookinfo_chassis.propagation import RawHeaders, propagated_headers

MAX_ANSWER = 1024 * 1024
"""Bytes; a longer answer is an error, so that a broken peer cannot fill the memory."""

POOL_SIZE = 512
"""Connections at once, to all peers together."""


class Upstream:
    """A service that this one calls: its base URL, and its time limit in seconds for a whole call."""

    def __init__(
        self, base_url: str, transport: httpx.AsyncBaseTransport, time_limit: float, *, propagate: bool = True
    ) -> None:
        self._base_url = base_url
        self._transport = transport
        self._propagate = propagate
        self._time_limit = time_limit
        self._extensions = {
            "timeout": {"connect": time_limit, "read": time_limit, "write": time_limit, "pool": time_limit}
        }

    async def get(self, path: str, headers: RawHeaders | None = None) -> httpx.Response:
        """GET `path`; the current request's propagated headers go along unless this peer is outside the mesh.

        Redirects are not followed. Raises `httpx.TransportError` when there is no answer within the time limit.
        """
        sent = [*propagated_headers(), *(headers or ())] if self._propagate else (headers or [])
        request = httpx.Request("GET", self._base_url + path, headers=sent, extensions=self._extensions)
        try:
            async with asyncio.timeout(self._time_limit):
                response = await self._transport.handle_async_request(request)
                response.request = request
                try:
                    await response.aread()
                finally:
                    await response.aclose()
                return response
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {self._time_limit:g} s", request=request) from None


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
        with _httpx_errors(request):
            async with self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(_text(name), _text(value)) for name, value in request.headers.raw],
                data=await request.aread() or None,
                allow_redirects=False,
                proxy=self._proxies.find(request.url),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=limits["pool"], sock_connect=limits["connect"], sock_read=limits["read"]
                ),
            ) as answer:
                if answer.headers.get("content-encoding", "identity") != "identity":
                    # None was accepted, and httpx would unpack it, however much comes out.
                    raise httpx.RemoteProtocolError("an answer in an encoding not asked for", request=request)
                body = await _read(answer, request)
                return httpx.Response(answer.status, headers=answer.raw_headers, content=body)

    async def aclose(self) -> None:
        await self._session.close()


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


def _text(value: bytes) -> str:
    """A header as aiohttp wants it: it sends UTF-8, so what came as UTF-8 leaves byte for byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _read(answer: aiohttp.ClientResponse, request: httpx.Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise httpx.ReadError(f"an answer longer than {MAX_ANSWER} bytes", request=request)
        chunks.append(chunk)
    return b"".join(chunks)


@contextmanager
def _httpx_errors(request: httpx.Request) -> Iterator[None]:
    """aiohttp's errors as httpx's. The order matters: the first are subclasses of the later."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error), request=request) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error), request=request) from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.ReadError(str(error), request=request) from error
    except aiohttp.ServerDisconnectedError as error:
        raise httpx.RemoteProtocolError(str(error), request=request) from error
    except aiohttp.ClientResponseError as error:
        raise httpx.RemoteProtocolError(error.message, request=request) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.NetworkError(str(error), request=request) from error
    except ValueError as error:
        raise httpx.LocalProtocolError(str(error), request=request) from error
