"""One trace as a waterfall: its spans in order, and where its time went."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from bookinfo_lab.observe import response_flags
from bookinfo_lab.observe.spans import Event, Kind, Span, Value

Interval = tuple[int, int]
"""From and to, in nanoseconds."""

_Children = defaultdict[str, list[Span]]


@dataclass(frozen=True)
class Row:
    """A span in its place. Times are nanoseconds; `start` and `critical` count from the trace's start."""

    span_id: str
    who: str  # the service and its version, or the proxy before it
    name: str  # the path, after any method but GET; or, where the span does not tell them, its name
    kind: Kind
    status: str  # the HTTP status, if the span tells it
    flags: str  # Envoy's response flags, if a proxy made the span and they say something
    error: bool
    start: int
    duration: int
    own: int  # of the duration, what no child covers
    critical: tuple[Interval, ...]  # when the whole trace waited for just this span
    last: tuple[bool, ...]  # for each level down to its own, whether no sibling follows
    attributes: Mapping[str, Value]
    events: tuple[str, ...]

    @property
    def depth(self) -> int:
        """How many spans it is below; 0: its parent is not here."""
        return len(self.last) - 1

    @property
    def blamed(self) -> int:
        """Nanoseconds by which the trace would be shorter without this span's own work."""
        return sum(end - begin for begin, end in self.critical)


@dataclass(frozen=True)
class Waterfall:
    """A trace, its spans in the order in which a reader wants them: each before what it led to."""

    trace_id: str
    start_ns: int  # since 1970
    duration: int  # nanoseconds from the first start to the last end, at least 1
    rows: tuple[Row, ...]

    @property
    def slowest(self) -> Row:
        """The span that is most to blame for the trace's duration."""
        return max(self.rows, key=lambda row: row.blamed)

    def summary(self) -> dict[str, Any]:
        """What a list of traces tells of it, as JSON has it."""
        root, slowest = self.rows[0], self.slowest
        return {
            "trace_id": self.trace_id,
            "start_ns": self.start_ns,
            "duration": self.duration,
            "name": root.name,
            "status": root.status,
            "error": any(row.error for row in self.rows),
            "spans": len(self.rows),
            "slowest": {"who": slowest.who, "name": slowest.name, "blamed": slowest.blamed},
        }

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        rows = [
            asdict(row) | {"depth": row.depth, "blamed": row.blamed, "meaning": response_flags.meaning(row.flags)}
            for row in self.rows
        ]
        return self.summary() | {"slowest_span": self.slowest.span_id, "rows": rows}


def from_json(told: Mapping[str, Any]) -> Waterfall:
    """What `as_json` tells of."""
    names = [item.name for item in fields(Row)]
    rows = []
    for row in told["rows"]:
        lists = {
            "last": tuple(row["last"]),
            "critical": tuple(map(tuple, row["critical"])),
            "events": tuple(row["events"]),
        }
        rows.append(Row(**{name: row[name] for name in names} | lists))
    return Waterfall(told["trace_id"], told["start_ns"], told["duration"], tuple(rows))


def _described(span: Span) -> str:
    method = _first(span, "http.request.method", "http.method")
    path = _first(span, "url.path", "http.target")
    url = _first(span, "url.full", "http.url")
    if url and not path:
        path = "/" + url.partition("://")[2].partition("/")[2]
    if not method or not path:
        return span.name
    return f"{'' if method == 'GET' else method} {path.partition('?')[0]}".strip()


def _who(span: Span) -> str:
    """Envoy's spans are its own (`component`), under `<workload's app>.<namespace>`, as Istio names them."""
    if span.attributes.get("component") != "proxy":
        return f"{span.service} {span.resource.get('service.version', '')}".strip()
    app = span.service.partition(".")[0]
    is_gateway = str(span.attributes.get("node_id", "")).startswith("router~")
    return app.removeprefix("istio-") if is_gateway else f"{app} proxy"


def _for_json(value: Value) -> Value:
    """JSON has neither NaN nor infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _first(span: Span, *keys: str) -> str:
    return next((str(span.attributes[key]) for key in keys if span.attributes.get(key)), "")


def waterfall(spans: Iterable[Span]) -> Waterfall:
    """The waterfall of one trace's spans, of which there is at least one. A span whose parent is missing is a root."""
    once = {span.span_id: span for span in spans}.values()  # an exporter that tries again sends some twice
    ordered = sorted(once, key=lambda span: (span.start_ns, -span.end_ns))
    roots, children = _tree(ordered)
    start = ordered[0].start_ns
    end = max(span.end_ns for span in ordered)
    critical: defaultdict[str, list[Interval]] = defaultdict(list)
    for root in roots:
        for span, begin, until in _critical(root, children):
            critical[span.span_id].append((begin - start, until - start))
    rows = [
        Row(
            span_id=span.span_id,
            who=_who(span),
            name=_described(span),
            kind=span.kind,
            status=_first(span, "http.response.status_code", "http.status_code"),
            flags=_first(span, "response_flags").strip("-"),
            error=span.error,
            start=span.start_ns - start,
            duration=span.end_ns - span.start_ns,
            own=span.end_ns - span.start_ns - _covered(span, children[span.span_id]),
            critical=tuple(sorted(critical[span.span_id])),
            last=last,
            attributes={name: _for_json(value) for name, value in span.attributes.items()},
            events=tuple(_told(event) for event in span.events),
        )
        for span, last in _walk(roots, children)
    ]
    return Waterfall(ordered[0].trace_id, start, max(end - start, 1), tuple(rows))


def _told(event: Event) -> str:
    """An event and what it says, but a stack trace: `degraded: section reviews, status 503`."""
    told = [f"{name} {value}" for name, value in event.attributes.items() if name != "exception.stacktrace"]
    return f"{event.name}: {', '.join(told)}" if told else event.name


def _tree(ordered: Sequence[Span]) -> tuple[list[Span], _Children]:
    """The roots and each span's children, in the order given. Parents that lead in a circle are cut once."""
    parents = {span.span_id: span.parent_id for span in ordered}
    roots: list[Span] = []
    children: _Children = defaultdict(list)
    for span in ordered:
        above, seen = span.parent_id, {span.span_id}
        while above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        if span.parent_id not in parents or above == span.span_id:
            parents[span.span_id] = ""
            roots.append(span)
        else:
            children[span.parent_id].append(span)
    return roots, children


def _walk(roots: Sequence[Span], children: _Children) -> Iterator[tuple[Span, tuple[bool, ...]]]:
    """Each span before its children, with whether it and each span above it is the last of its siblings."""
    stack: list[tuple[Span, tuple[bool, ...]]] = [(span, (index == 0,)) for index, span in enumerate(reversed(roots))]
    while stack:
        span, last = stack.pop()
        yield span, last
        stack += [(child, (*last, index == 0)) for index, child in enumerate(reversed(children[span.span_id]))]


def _critical(root: Span, children: _Children) -> Iterator[tuple[Span, int, int]]:
    """What the root waited for, backwards from its end: always the child that ended last, and between them itself."""
    stack = [(root, root.start_ns, root.end_ns)]
    while stack:
        span, begin, until = stack.pop()
        cursor = until
        ended = [(min(child.end_ns, until), child) for child in children[span.span_id] if _waited(span, child)]
        for child_end, child in sorted(ended, key=lambda item: item[0], reverse=True):
            child_begin = max(child.start_ns, begin)
            if child_begin < child_end <= cursor:
                if cursor > child_end:
                    yield span, child_end, cursor
                stack.append((child, child_begin, child_end))
                cursor = child_begin
        if cursor > begin:
            yield span, begin, cursor


def _waited(span: Span, child: Span) -> bool:
    """Whether a span waited for a child that may have run on.

    A server's span often ends a moment after its client's; who gave up on a child (an error) had waited for it; and
    who goes on without it, as with a mirrored request, has not.
    """
    return span.error or 2 * (child.end_ns - span.end_ns) <= child.end_ns - child.start_ns


def _covered(span: Span, children: Iterable[Span]) -> int:
    """Nanoseconds of a span during which a child of it ran."""
    covered = 0
    reached = span.start_ns
    for child in sorted(children, key=lambda item: item.start_ns):
        begin, end = max(child.start_ns, reached), min(child.end_ns, span.end_ns)
        if end > begin:
            covered += end - begin
            reached = end
    return covered
