"""Which trace a request belongs to, as W3C or B3 headers say it, and how to say it on.

OpenTelemetry's own B3 propagator turns a deferred decision ("sample it or not, as you like") into "no", and a trace id
of 16 digits into another of 32; so both formats are read here.
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
"""Headers that name the caller's span; `tracestate` and `baggage` name none."""

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACE_ID = re.compile(rb"[0-9a-f]{16}([0-9a-f]{16})?")
_SPAN_ID = re.compile(rb"[0-9a-f]{16}")
_DECISIONS = {b"1": True, b"true": True, b"d": True, b"0": False, b"false": False}


@dataclass(frozen=True)
class TraceContext:
    """The caller's span and its decision. Ids are hexadecimal, the trace's of 16 (B3 only) or 32 digits."""

    trace_id: bytes = b""  # empty: the caller has no trace
    span_id: bytes = b""
    sampled: bool | None = None  # None: nobody has decided yet
    random: bool = False  # whether W3C's second flag vouches for a random trace id

    @property
    def traceparent(self) -> bytes:
        """The same in W3C's form, as a sampled one."""
        return b"00-%s-%s-%s" % (self.trace_id.rjust(32, b"0"), self.span_id, b"03" if self.random else b"01")


def read(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext:
    """What the headers say; W3C wins over B3. What is malformed counts as absent."""
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
    """`{trace}-{span}-{decision}-{parent}`, the last two optional, or the decision alone."""
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


def continued(headers: RawHeaders, span: TraceContext, parent_id: bytes) -> RawHeaders:
    """`headers` as they go on to a callee of a sampled request: they name `span`, whose parent is `parent_id`.

    W3C always, and each of B3's forms in which the caller spoke, to debug (which is more than to sample) where it did.
    """
    came = dict(headers)
    named = [(name, value) for name, value in headers if name not in CONTEXT]
    named.append((TRACEPARENT, span.traceparent))
    if came.keys() & B3_MULTI:
        named += [
            (B3_TRACE_ID, span.trace_id),
            (B3_SPAN_ID, span.span_id),
            (B3_PARENT_ID, parent_id),
            (B3_FLAGS, b"1") if came.get(B3_FLAGS) == b"1" else (B3_SAMPLED, b"1"),
        ]
    if B3_SINGLE in came:
        decision = b"d" if b"d" in came[B3_SINGLE].lower().split(b"-")[::2] else b"1"
        named.append((B3_SINGLE, b"%s-%s-%s-%s" % (span.trace_id, span.span_id, decision, parent_id)))
    return named


def refused(headers: RawHeaders, context: TraceContext, new_trace_id: bytes, new_span_id: bytes) -> RawHeaders:
    """`headers` with the decision not to sample, for a caller who left it to us: ids that came are kept."""
    if not context.trace_id:
        kept = [(name, value) for name, value in headers if name not in CONTEXT]
        return [*kept, (TRACEPARENT, b"00-%s-%s-00" % (new_trace_id, new_span_id))]
    if any(name == B3_SINGLE for name, _ in headers):
        kept = [(name, value) for name, value in headers if name != B3_SINGLE]
        return [*kept, (B3_SINGLE, b"%s-%s-0" % (context.trace_id, context.span_id))]
    return [*((name, value) for name, value in headers if name != B3_SAMPLED), (B3_SAMPLED, b"0")]
