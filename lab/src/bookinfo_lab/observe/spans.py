"""Spans as values, decoded from OTLP: https://opentelemetry.io/docs/specs/otlp/"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Kind = Literal["internal", "server", "client", "producer", "consumer", "unspecified"]
Value = str | int | float | bool

_KINDS: Mapping[int, Kind] = {
    trace_pb2.Span.SPAN_KIND_INTERNAL: "internal",
    trace_pb2.Span.SPAN_KIND_SERVER: "server",
    trace_pb2.Span.SPAN_KIND_CLIENT: "client",
    trace_pb2.Span.SPAN_KIND_PRODUCER: "producer",
    trace_pb2.Span.SPAN_KIND_CONSUMER: "consumer",
}


@dataclass(frozen=True)
class Event:
    """Something that happened during a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True)
class Span:
    """One step of a trace. Ids are hexadecimal; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str  # empty: the first of its trace
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    error: bool
    resource: Mapping[str, Value]
    attributes: Mapping[str, Value]
    events: tuple[Event, ...] = field(default=())

    @property
    def service(self) -> str:
        """Who made it (`service.name`)."""
        return str(self.resource.get("service.name", ""))


class MalformedExportError(ValueError):
    """A body that is no ExportTraceServiceRequest."""


def decode(body: bytes) -> list[Span]:
    """The spans of one export in binary protobuf. Raises `MalformedExportError`."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedExportError(f"not an OTLP trace export: {error}") from error
    return [
        _span(span, _attributes(resource_spans.resource.attributes))
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def _span(span: trace_pb2.Span, resource: Mapping[str, Value]) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=_KINDS.get(span.kind, "unspecified"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=tuple(Event(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in span.events),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "int_value", "double_value", "bool_value"):
        plain: Value = getattr(value, kind)
        return plain
    return str(value).strip()


class SpanStore:
    """The last traces, by trace id; the oldest make room."""

    def __init__(self, max_traces: int = 500, max_spans: int = 500) -> None:
        """`max_spans` bounds one trace: a client that reuses one trace id cannot fill the memory."""
        self._max_traces = max_traces
        self._max_spans = max_spans
        self._traces: OrderedDict[str, list[Span]] = OrderedDict()

    def add(self, spans: Iterable[Span]) -> None:
        """Take spans in; a trace that is added to counts as new again."""
        for span in spans:
            trace = self._traces.setdefault(span.trace_id, [])
            self._traces.move_to_end(span.trace_id)
            if len(trace) < self._max_spans:
                trace.append(span)
            if len(self._traces) > self._max_traces:
                self._traces.popitem(last=False)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, in the order of their start."""
        return sorted(self._traces.get(trace_id, []), key=lambda span: span.start_ns)

    def traces(self) -> list[str]:
        """The ids of what is kept, newest first."""
        return list(reversed(self._traces))
