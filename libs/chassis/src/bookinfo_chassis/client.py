"""Calls to other services, with httpx's types and errors.

A call through httpx's client costs several times more than necessary (fastpath/README.md). Therefore `Upstream` sends
`httpx.Request` objects directly to a transport: `HttpTransport` in production, httpx's `MockTransport` in tests.
"""

import asyncio
import ssl
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

import httpx

from bookinfo_chassis.fastpath.transport import HttpTransport
from bookinfo_chassis.metrics import CallMetrics
from bookinfo_chassis.propagation import RawHeaders, propagated_headers
from bookinfo_chassis.settings import ServiceSettings
from bookinfo_chassis.spans import ClientSpan, sampled_trace_id

NO_BODY = httpx.ByteStream(b"")


def create_transport(settings: ServiceSettings, context: ssl.SSLContext | None = None) -> httpx.AsyncBaseTransport:
    """Return the transport for calls to other services. `context` says which TLS certificates are trusted."""
    if settings.fast_path_transport:
        return HttpTransport(settings.proxies, settings.upstream_idle_seconds, context)
    from bookinfo_chassis.fastpath.httpx_transport import HttpxTransport  # its import takes memory and time

    return HttpxTransport(settings.proxies, settings.upstream_idle_seconds, context)


class UpstreamResponse(NamedTuple):
    """The status, the body as it was sent, and the headers of a response."""

    status_code: int
    content: bytes
    headers: httpx.Headers


class Upstream:
    """A service that this service calls.

    `time_limit` is in seconds and applies to a call as a whole. `propagate` is False for a service outside the mesh: it
    receives none of the current request's headers.
    """

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
        # Each phase may take as long as the whole call. `HttpTransport` ignores these: `_send` limits the call.
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), time_limit)}

    async def get(self, path: str, headers: RawHeaders = (), *, is_retry: bool = False) -> UpstreamResponse:
        """GET `path` with `headers` and the propagated headers of the current request.

        `is_retry` marks the repetition of a failed call. Redirects are not followed.

        Raises:
            httpx.TransportError: there is no complete response within the time limit.
        """
        if is_retry:
            self._metrics.retries.labels(self._destination).inc()
        url = _parse_url(self._base_url + path)
        with ClientSpan("GET", url) as span:
            propagated = span.headers(propagated_headers()) if self._propagate else ()
            request = httpx.Request(
                "GET",
                url,
                headers=[self._host, *propagated, *headers],
                stream=NO_BODY,  # with a stream, httpx does not compute default headers, which doubles a request's cost
                extensions=self._extensions,
            )
            response = await self._send(request)
            span.record_response(response.status_code, response.headers)
            return response

    async def _send(self, request: httpx.Request) -> UpstreamResponse:
        start = perf_counter()
        status = "none"
        try:
            async with asyncio.timeout(self._time_limit):
                received = await self._transport.handle_async_request(request)
                try:
                    response = await _read(received)
                finally:
                    await received.aclose()
            status = str(response.status_code)
        except httpx.TimeoutException:
            self._metrics.timeouts.labels(self._destination).inc()
            raise
        except TimeoutError:
            self._metrics.timeouts.labels(self._destination).inc()
            raise httpx.ReadTimeout(f"no response within {self._time_limit:g} s", request=request) from None
        else:
            return response
        finally:
            self._metrics.observe(self._destination, status, perf_counter() - start, sampled_trace_id())


@lru_cache(maxsize=256)
def _parse_url(url: str) -> httpx.URL:
    return httpx.URL(url)


async def _read(response: httpx.Response) -> UpstreamResponse:
    """Read the complete body without decoding it.

    The request accepts no encoding, and a decoded body could have any size.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.RemoteProtocolError("the response has a content-encoding that the request does not accept")
    stream = response.stream
    body = b"".join([chunk async for chunk in stream])  # type: ignore[union-attr]  # of an asynchronous transport
    return UpstreamResponse(response.status_code, body, response.headers)
