"""Header propagation: the one list of headers that each request propagates to the calls that it causes."""

from collections.abc import Sequence
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

RawHeaders = Sequence[tuple[bytes, bytes]]

CORRELATION = (
    b"x-request-id",  # Envoy's request id: joins access logs and traces, and Envoy samples by it
)
W3C = (
    b"traceparent",  # W3C Trace Context: what OpenTelemetry reads and writes
    b"tracestate",
    b"baggage",  # W3C Baggage
)
B3 = (
    b"x-b3-traceid",  # Zipkin's B3, many headers: Envoy's Zipkin tracer
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-b3-sampled",
    b"x-b3-flags",
    b"b3",  # B3, single header
)
VENDORS = (
    b"x-ot-span-context",  # Lightstep
    b"x-datadog-trace-id",
    b"x-datadog-parent-id",
    b"x-datadog-sampling-priority",
    b"x-cloud-trace-context",  # Google Cloud Trace
    b"grpc-trace-bin",  # OpenCensus
    b"sw8",  # SkyWalking
)
ROUTING = (
    b"end-user",  # Istio's tasks route by this user; only productpage sets it, from the session
    b"user-agent",  # for rules between other services that match the browser
)
CREDENTIALS = (
    b"cookie",  # for policies between other services about the end user; never sent outside the mesh
    b"authorization",
    b"jwt",
)
PROPAGATED = frozenset((*CORRELATION, *W3C, *B3, *VENDORS, *ROUTING, *CREDENTIALS))

_current: ContextVar[RawHeaders] = ContextVar("propagated_headers", default=())


def propagated_headers() -> RawHeaders:
    """Return the headers of the current request that are propagated, unchanged and in their original order."""
    return _current.get()


def propagated_header(name: bytes) -> str | None:
    """Return one of these headers as text, or None."""
    return next((value.decode("latin-1") for key, value in _current.get() if key == name), None)


class PropagationMiddleware:
    """Stores the propagated headers while a request is handled. Headers in `dropped` are not propagated."""

    def __init__(self, app: ASGIApp, dropped: frozenset[bytes] = frozenset()) -> None:
        self._app = app
        self._names = PROPAGATED - dropped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = self._names
        token = _current.set([header for header in scope["headers"] if header[0] in names])
        try:
            await self._app(scope, receive, send)
        finally:
            _current.reset(token)
