"""httpx's own transport in place of `HttpTransport`: the standard component, at 20 times the cost of a call."""

import ssl
from collections.abc import AsyncIterator
from typing import cast

import httpx

from bookinfo_chassis.fastpath.transport import MAX_BODY, POOL_SIZE
from bookinfo_chassis.proxies import Proxies


class HttpxTransport(httpx.AsyncBaseTransport):
    """`httpx.AsyncHTTPTransport` with the proxies, the pool and the body limit of `HttpTransport`."""

    def __init__(self, proxies: Proxies, idle_seconds: float, context: ssl.SSLContext | None = None) -> None:
        self._proxies = proxies
        self._context = context or ssl.create_default_context()
        self._limits = httpx.Limits(
            max_connections=POOL_SIZE,
            max_keepalive_connections=POOL_SIZE if idle_seconds else 0,
            keepalive_expiry=idle_seconds,
        )
        self._transports: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport(request.url).handle_async_request(request)
        stream = LimitedStream(cast("httpx.AsyncByteStream", response.stream))
        return httpx.Response(response.status_code, headers=response.headers, stream=stream)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()

    def _transport(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        """Return the transport for the proxy of `url`. Raises `httpx.ProxyError` if the proxy's URL is invalid."""
        proxy = self._proxies.find(url)
        if proxy not in self._transports:
            try:
                self._transports[proxy] = httpx.AsyncHTTPTransport(
                    verify=self._context, limits=self._limits, proxy=proxy, trust_env=False
                )
            except (ValueError, ImportError, httpx.InvalidURL) as error:  # ImportError: SOCKS needs another package
                raise httpx.ProxyError(f"invalid proxy: {error}") from error
        return self._transports[proxy]


class LimitedStream(httpx.AsyncByteStream):
    """A response body. Raises `httpx.ReadError` after more than `MAX_BODY` bytes."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BODY:
                raise httpx.ReadError(f"the response body is longer than {MAX_BODY} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
