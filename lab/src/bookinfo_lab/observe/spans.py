"""Spans as values, and the last traces.

https://opentelemetry.io/docs/specs/otel/trace/api/
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["internal", "server", "client", "producer", "consumer", "unspecified"]
Value = str | int | float | bool


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


class SpanStore:
    """The last traces, by trace id; the oldest make room."""

    def __init__(self, max_traces: int = 500, max_spans: int = 500, max_total: int = 20_000) -> None:
        """`max_spans` bounds one trace: a client that reuses one trace id cannot fill the memory.

        `max_total` bounds the spans of all; one takes some 3 kB.
        """
        self._max_traces = max_traces
        self._max_spans = max_spans
        self._max_total = max_total
        self._total = 0
        self._traces: OrderedDict[str, list[Span]] = OrderedDict()

    def add(self, spans: Iterable[Span]) -> None:
        """Take spans in; a trace that is added to counts as new again."""
        for span in spans:
            trace = self._traces.setdefault(span.trace_id, [])
            self._traces.move_to_end(span.trace_id)
            if len(trace) < self._max_spans:
                trace.append(span)
                self._total += 1
            while len(self._traces) > self._max_traces or self._total > self._max_total:
                self._total -= len(self._traces.popitem(last=False)[1])

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, in the order of their start."""
        return sorted(self._traces.get(trace_id, []), key=lambda span: span.start_ns)

    def traces(self) -> list[str]:
        """The ids of what is kept, newest first."""
        return list(reversed(self._traces))
