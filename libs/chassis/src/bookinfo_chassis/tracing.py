"""Tracing: OpenTelemetry, switched on by its standard `OTEL_*` variables, and not even imported without them.

A request passes a gate first. The gate reads the caller's decision, or decides once where nobody has; what is not
sampled goes on as if tracing were off. So OpenTelemetry's instrumentation, which costs as much as a whole leaf, is paid
for sampled requests alone (docs/performance.md).
"""

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from starlette.types import ASGIApp, Receive, Scope, Send

from bookinfo_chassis import tracecontext
from bookinfo_chassis.instance import Instance
from bookinfo_chassis.propagation import RawHeaders
from bookinfo_chassis.settings import InvalidSettingsError, ServiceSettings
from bookinfo_chassis.tracecontext import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler

logger = logging.getLogger(__name__)

UNTRACED = frozenset({"/livez", "/readyz", "/health", "/metrics"})
TOLD = frozenset({b"host", b"user-agent", tracecontext.TRACESTATE})
"""Headers that OpenTelemetry decodes for a span."""

FLUSH_SECONDS = 3.0
"""How long a stopping service waits for its last spans to be taken."""

_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
"""The tracer while a traced request is handled."""


class Tracing:
    """A service's tracer while it runs."""

    def __init__(self, provider: "TracerProvider", sampler: "Sampler", ids: "IdGenerator") -> None:
        self._provider = provider
        self._sampler = sampler
        self._ids = ids

    @classmethod
    def from_settings(cls, service: str, settings: ServiceSettings) -> "Tracing | None":
        """What `OTEL_*` asks for; None when it asks for nothing.

        Raises:
            InvalidSettingsError: OpenTelemetry cannot use a value that only it reads, a limit of spans, say.
        """
        if not settings.exports_traces:
            return None
        try:
            from bookinfo_chassis import exporting  # which reads some of them as it is imported

            provider = exporting.provider(service, settings)
            sampler = exporting.configured_sampler()
        except ValueError as error:
            raise InvalidSettingsError(str(error)) from error
        return cls(provider, sampler, exporting.RandomIdGenerator())

    def install(self, app: FastAPI) -> None:
        """Make `app` trace what its gate lets through."""
        from bookinfo_chassis import exporting

        untraced = app.build_middleware_stack()
        exporting.instrument(app, self._provider)
        tracer = self._provider.get_tracer("bookinfo_chassis")
        app.middleware_stack = SamplingGate(untraced, app.build_middleware_stack(), tracer, self._sampler, self._ids)

    async def shutdown(self) -> None:
        """Send what is left, for as long as there is time."""
        # An exporter that meets a collector in trouble tries again for longer than a pod may take to end.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, FLUSH_SECONDS)
        if flush.is_alive():
            logger.warning("the last spans were not taken within %g s", FLUSH_SECONDS)


class SamplingGate:
    """Takes a request to the traced or to the untraced application."""

    def __init__(
        self, untraced: ASGIApp, traced: ASGIApp, tracer: Tracer, sampler: "Sampler", ids: "IdGenerator"
    ) -> None:
        self._untraced = untraced
        self._traced = traced
        self._tracer = tracer
        self._sampler = sampler
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._untraced(scope, receive, send)
            return
        headers: RawHeaders = scope["headers"]
        context = tracecontext.read(headers)
        if self._samples(context) and _readable(headers):
            others = [header for header in headers if header[0] != tracecontext.TRACEPARENT]
            named = [(tracecontext.TRACEPARENT, context.traceparent)] if context.trace_id else []
            token = _tracer.set(self._tracer)
            try:
                await self._traced({**scope, "headers": [*others, *named]}, receive, send)
            finally:
                _tracer.reset(token)
            return
        if context.sampled is None:
            trace_id, span_id = self._ids.generate_trace_id(), self._ids.generate_span_id()
            refused = tracecontext.refused(headers, context, b"%032x" % trace_id, b"%016x" % span_id)
            scope = {**scope, "headers": refused}
        await self._untraced(scope, receive, send)

    def _samples(self, context: TraceContext) -> bool:
        """The caller's decision, or the sampler's where there is none."""
        if context.sampled is not None:
            return context.sampled
        trace_id = int(context.trace_id, 16) if context.trace_id else self._ids.generate_trace_id()
        return self._sampler.should_sample(None, trace_id, "").decision.name == "RECORD_AND_SAMPLE"


class Call:
    """A call to another service, as a client span where the request at hand is traced; nothing where it is not.

    Enter it around the call, send `headers`, and tell it what was `answered`.
    """

    __slots__ = ("_parent", "_span")

    def __init__(self, method: str, url: httpx.URL) -> None:
        tracer = _tracer.get()
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
        """What of the request's headers goes along, naming this call's span."""
        if self._span is None:
            return propagated
        context = self._span.get_span_context()
        span = TraceContext(
            _trace_id(propagated, context.trace_id),
            b"%016x" % context.span_id,
            sampled=True,
            random=tracecontext.read(propagated).random,
        )
        return tracecontext.continued(propagated, span, b"%016x" % self._parent.span_id)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The callee's status, and the headers in which it says who it is."""
        if self._span is None:
            return
        self._span.set_attribute("http.response.status_code", status)
        if callee := Instance.from_headers(headers):
            self._span.set_attribute("peer.version", callee.version)
            if callee.pod:
                self._span.set_attribute("peer.instance", callee.pod)
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


def _readable(headers: RawHeaders) -> bool:
    """Whether OpenTelemetry can decode what it tells of them.

    It takes what is not UTF-8 for Python's escapes, and the request would fail over a backslash that begins none.
    """
    for name, value in headers:
        if name in TOLD and b"\\" in value:
            try:
                value.decode()
            except UnicodeDecodeError:
                return False
    return True


def sampled_trace_id() -> str | None:
    """The current request's trace id, if the request is traced."""
    if _tracer.get() is None:
        return None
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)


def note_degraded(section: str, status: int) -> None:
    """Show in the current request's trace that a part of its answer is missing."""
    trace.get_current_span().add_event("degraded", {"section": section, "status": status})


def _trace_id(headers: RawHeaders, number: int) -> bytes:
    """The trace's id in the very digits in which it came: B3's may be half as long as W3C's."""
    came = tracecontext.read([header for header in headers if header[0] != tracecontext.TRACEPARENT]).trace_id
    return came if came and int(came, 16) == number else b"%032x" % number
