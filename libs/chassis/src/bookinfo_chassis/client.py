"""Calls to other services, in httpx's types and errors.

httpx's client costs several times what a call needs (docs/performance.md). So requests, responses, errors and the
transports of tests are httpx's; in production `HttpTransport` lies under them.
"""

import asyncio
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

import httpx

from bookinfo_chassis.metrics import CallMetrics
from bookinfo_chassis.propagation import RawHeaders, propagated_headers
from bookinfo_chassis.tracing import Call, sampled_trace_id

NO_BODY = httpx.ByteStream(b"")


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
        # Each phase may take as long as the whole; `HttpTransport` leaves this to the limit of the whole.
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), time_limit)}

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
                    reply = await _reply(response)
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
            self._metrics.observe(self._destination, status, perf_counter() - start, sampled_trace_id())


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


async def _reply(response: httpx.Response) -> Reply:
    """The answer, whole and not decoded: no encoding was accepted, and decoded it could be of any length."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.RemoteProtocolError("an answer in an encoding not asked for")
    stream = response.stream
    body = b"".join([chunk async for chunk in stream])  # type: ignore[union-attr]  # of an asynchronous transport
    return Reply(response.status_code, body, response.headers)
