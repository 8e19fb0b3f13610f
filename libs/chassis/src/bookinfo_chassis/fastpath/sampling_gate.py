"""The sampling gate: the sampling decision, made before OpenTelemetry's instrumentation runs."""

from typing import TYPE_CHECKING

from opentelemetry.trace import Tracer
from starlette.types import ASGIApp, Receive, Scope, Send

from bookinfo_chassis import trace_context
from bookinfo_chassis.propagation import RawHeaders
from bookinfo_chassis.spans import current_tracer
from bookinfo_chassis.trace_context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler

UNTRACED = frozenset({"/livez", "/readyz", "/health", "/metrics"})

DECODED = frozenset({b"host", b"user-agent", trace_context.TRACESTATE})
"""Headers that OpenTelemetry decodes for a span."""


class SamplingGate:
    """Sends a sampled request to the instrumented application, and every other request past the instrumentation.

    The caller decides if a request is sampled. If the caller made no decision, the sampler decides, and the decision is
    propagated.

    Args:
        bare: the application without OpenTelemetry's instrumentation.
        instrumented: the application with it.
        skip_unsampled: whether unsampled requests bypass the instrumentation. If False, they pass through it, and the
            provider's `GateSampler` drops their spans.
    """

    def __init__(
        self,
        bare: ASGIApp,
        instrumented: ASGIApp,
        tracer: Tracer,
        sampler: "Sampler",
        ids: "IdGenerator",
        *,
        skip_unsampled: bool = True,
    ) -> None:
        self._bare = bare
        self._instrumented = instrumented
        self._tracer = tracer
        self._sampler = sampler
        self._ids = ids
        self._skip_unsampled = skip_unsampled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._bare(scope, receive, send)
            return
        headers: RawHeaders = scope["headers"]
        context = trace_context.read(headers)
        if self._is_sampled(context) and _is_decodable(headers):
            others = [header for header in headers if header[0] != trace_context.TRACEPARENT]
            traceparent = [(trace_context.TRACEPARENT, context.traceparent)] if context.trace_id else []
            token = current_tracer.set(self._tracer)
            try:
                await self._instrumented({**scope, "headers": [*others, *traceparent]}, receive, send)
            finally:
                current_tracer.reset(token)
            return
        if context.sampled is None:
            trace_id, span_id = self._ids.generate_trace_id(), self._ids.generate_span_id()
            unsampled = trace_context.unsampled(headers, context, b"%032x" % trace_id, b"%016x" % span_id)
            scope = {**scope, "headers": unsampled}
        app = self._bare if self._skip_unsampled or not _is_decodable(headers) else self._instrumented
        await app(scope, receive, send)

    def _is_sampled(self, context: TraceContext) -> bool:
        """Return the caller's decision, or the sampler's if the caller made none."""
        if context.sampled is not None:
            return context.sampled
        trace_id = int(context.trace_id, 16) if context.trace_id else self._ids.generate_trace_id()
        return self._sampler.should_sample(None, trace_id, "").decision.name == "RECORD_AND_SAMPLE"


def _is_decodable(headers: RawHeaders) -> bool:
    """Return whether OpenTelemetry can decode the headers of a span.

    OpenTelemetry decodes a value that is not UTF-8 as a Python literal. A backslash that starts no escape sequence
    would raise an error and fail the request.
    """
    for name, value in headers:
        if name in DECODED and b"\\" in value:
            try:
                value.decode()
            except UnicodeDecodeError:
                return False
    return True
