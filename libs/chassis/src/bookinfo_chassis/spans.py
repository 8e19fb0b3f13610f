"""The spans of the current request: client spans for its calls, and its trace id.

This module needs only OpenTelemetry's API, so that services without tracing do not import the SDK.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Self

import httpx
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from bookinfo_chassis import trace_context
from bookinfo_chassis.pod_info import PodInfo
from bookinfo_chassis.propagation import RawHeaders
from bookinfo_chassis.trace_context import TraceContext

current_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
"""The tracer while a sampled request is handled, otherwise None."""


class ClientSpan:
    """The client span of a call, or nothing if the current request is not sampled.

    Enter it around the call, send its `headers`, and pass the response to `record_response`.
    """

    __slots__ = ("_parent", "_span")

    def __init__(self, method: str, url: httpx.URL) -> None:
        tracer = current_tracer.get()
        if tracer is None:
            self._span: Span | None = None
            return
        self._parent = trace.get_current_span().get_span_context()
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.full": str(url),
            "server.address": url.host,
            "server.port": url.port or {"http": 80, "https": 443}[url.scheme],
            "peer.service": url.host.partition(".")[0],
        }
        self._span = tracer.start_span(f"{method} {url.host}", kind=SpanKind.CLIENT, attributes=attributes)

    def headers(self, propagated: RawHeaders) -> RawHeaders:
        """Return the propagated headers with this span as the caller's span."""
        if self._span is None:
            return propagated
        context = self._span.get_span_context()
        span = TraceContext(
            _trace_id(propagated, context.trace_id),
            b"%016x" % context.span_id,
            sampled=True,
            random=trace_context.read(propagated).random,
        )
        return trace_context.with_span(propagated, span, b"%016x" % self._parent.span_id)

    def record_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Set the status and the pod of the response."""
        if self._span is None:
            return
        self._span.set_attribute("http.response.status_code", status)
        if pod := PodInfo.from_headers(headers):
            self._span.set_attribute("peer.version", pod.version)
            if pod.name:
                self._span.set_attribute("peer.instance", pod.name)
        if status >= 400:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._span is None:
            return
        if kind is not None:
            self._span.set_attribute("error.type", kind.__qualname__)
            self._span.set_status(StatusCode.ERROR, str(error))
        self._span.end()


def sampled_trace_id() -> str | None:
    """Return the trace id of the current request, or None if the request is not sampled."""
    if current_tracer.get() is None:
        return None
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)


def record_degraded(section: str, status: int) -> None:
    """Add an event to the current request's span: a section of its response is missing."""
    trace.get_current_span().add_event("degraded", {"section": section, "status": status})


def _trace_id(headers: RawHeaders, number: int) -> bytes:
    """Return the trace id with the digits that the caller sent: B3's may have half the length of W3C's."""
    received = trace_context.read([header for header in headers if header[0] != trace_context.TRACEPARENT]).trace_id
    return received if received and int(received, 16) == number else b"%032x" % number
