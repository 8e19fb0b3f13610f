"""The trace of a request: read from W3C or B3 headers, and written to the headers of calls.

OpenTelemetry's own B3 propagator turns a deferred sampling decision into "no", and extends a trace id of 16 digits to
32. Therefore this module reads and writes both formats itself.
W3C: https://www.w3.org/TR/trace-context/, B3: https://github.com/openzipkin/b3-propagation
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bookinfo_chassis.propagation import RawHeaders

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
B3_SINGLE = b"b3"
B3_TRACE_ID = b"x-b3-traceid"
B3_SPAN_ID = b"x-b3-spanid"
B3_PARENT_ID = b"x-b3-parentspanid"
B3_SAMPLED = b"x-b3-sampled"
B3_FLAGS = b"x-b3-flags"
B3_MULTI = frozenset((B3_TRACE_ID, B3_SPAN_ID, B3_PARENT_ID, B3_SAMPLED, B3_FLAGS))
CONTEXT = B3_MULTI | {TRACEPARENT, B3_SINGLE}
"""Headers with the id of the caller's span. `tracestate` and `baggage` have none."""

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACE_ID = re.compile(rb"[0-9a-f]{16}([0-9a-f]{16})?")
_SPAN_ID = re.compile(rb"[0-9a-f]{16}")
_DECISIONS = {b"1": True, b"true": True, b"d": True, b"0": False, b"false": False}


@dataclass(frozen=True)
class TraceContext:
    """The caller's span and sampling decision. Ids are hexadecimal; a trace id has 16 (B3 only) or 32 digits."""

    trace_id: bytes = b""  # empty if the caller has no trace
    span_id: bytes = b""
    sampled: bool | None = None  # None if no service has decided yet
    random: bool = False  # W3C's flag for a random trace id

    @property
    def traceparent(self) -> bytes:
        """Return the W3C header for a sampled trace."""
        return b"00-%s-%s-%s" % (self.trace_id.rjust(32, b"0"), self.span_id, b"03" if self.random else b"01")


def read(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext:
    """Return the trace context of the headers. W3C takes precedence over B3. Malformed headers are ignored."""
    found = {name: value for name, value in headers if name in CONTEXT}
    if not found:
        return TraceContext()
    if context := _read_w3c(found.get(TRACEPARENT, b"")):
        return context
    single = found.get(B3_SINGLE)
    return _read_b3_single(single) if single else _read_b3_multi(found)


def _read_w3c(value: bytes) -> TraceContext | None:
    match = _TRACEPARENT.fullmatch(value)
    if not match or match[1] == b"ff" or (match[1] == b"00" and match[5]):
        return None
    if not match[2].strip(b"0") or not match[3].strip(b"0"):
        return None
    flags = int(match[4], 16)
    return TraceContext(match[2], match[3], sampled=bool(flags & 1), random=bool(flags & 2))


def _read_b3_single(value: bytes) -> TraceContext:
    """Read `{trace}-{span}[-{decision}[-{parent}]]`, or the decision alone."""
    parts = value.lower().split(b"-")
    if len(parts) == 1:
        return TraceContext(sampled=_DECISIONS.get(parts[0]))
    decision = _DECISIONS.get(parts[2]) if len(parts) > 2 else None
    return _b3(parts[0], parts[1], decision)


def _read_b3_multi(found: dict[bytes, bytes]) -> TraceContext:
    decision = True if found.get(B3_FLAGS) == b"1" else _DECISIONS.get(found.get(B3_SAMPLED, b"").lower())
    return _b3(found.get(B3_TRACE_ID, b"").lower(), found.get(B3_SPAN_ID, b"").lower(), decision)


def _b3(trace_id: bytes, span_id: bytes, sampled: bool | None) -> TraceContext:
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return TraceContext(sampled=sampled)
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return TraceContext(sampled=sampled)
    return TraceContext(trace_id, span_id, sampled)


def with_span(headers: RawHeaders, span: TraceContext, parent_id: bytes) -> RawHeaders:
    """Return `headers` for a call of a sampled request, with the client span `span` and its parent's id.

    The result has W3C's header, and each form of B3 that the caller used. B3's debug flag is kept.
    """
    received = dict(headers)
    result = [(name, value) for name, value in headers if name not in CONTEXT]
    result.append((TRACEPARENT, span.traceparent))
    if received.keys() & B3_MULTI:
        result += [
            (B3_TRACE_ID, span.trace_id),
            (B3_SPAN_ID, span.span_id),
            (B3_PARENT_ID, parent_id),
            (B3_FLAGS, b"1") if received.get(B3_FLAGS) == b"1" else (B3_SAMPLED, b"1"),
        ]
    if B3_SINGLE in received:
        decision = b"d" if b"d" in received[B3_SINGLE].lower().split(b"-")[::2] else b"1"
        result.append((B3_SINGLE, b"%s-%s-%s-%s" % (span.trace_id, span.span_id, decision, parent_id)))
    return result


def unsampled(headers: RawHeaders, context: TraceContext, new_trace_id: bytes, new_span_id: bytes) -> RawHeaders:
    """Return `headers` with the decision not to sample, for a caller that made none. The caller's ids are kept."""
    if not context.trace_id:
        kept = [(name, value) for name, value in headers if name not in CONTEXT]
        return [*kept, (TRACEPARENT, b"00-%s-%s-00" % (new_trace_id, new_span_id))]
    if any(name == B3_SINGLE for name, _ in headers):
        kept = [(name, value) for name, value in headers if name != B3_SINGLE]
        return [*kept, (B3_SINGLE, b"%s-%s-0" % (context.trace_id, context.span_id))]
    return [*((name, value) for name, value in headers if name != B3_SAMPLED), (B3_SAMPLED, b"0")]
