"""The service graph and a trace's waterfall as text, with colours where there are any."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bookinfo_lab.observe.graph import Edge, Graph, Node, percent
from bookinfo_lab.observe.waterfall import Row, Waterfall

_SHARE_CELLS = 10
_SECURITY = {"mutual_tls": "mutual TLS", "none": "plain text", "mixed": "mixed", "unknown": ""}
_NANOSECONDS = 1e9


def graph(shown: Graph) -> RenderableType:
    """Who calls whom, each caller before whom it calls."""
    if not shown.edges:
        return Text(f"no requests in the last {shown.window:.0f} s: open the product page, or run `bookinfo load`")
    nodes = {node.id: node for node in shown.nodes}
    order = {node.id: place for place, node in enumerate(shown.nodes)}
    table = Table("caller", "called", box=None, header_style="bold", pad_edge=False)
    for name in ("rate", "share", "", "p50", "p99"):
        table.add_column(name, justify="left" if name == "" else "right")
    table.add_column("over")
    table.add_column("")
    before = ""
    for edge in sorted(shown.edges, key=lambda edge: (order[edge.source], order[edge.destination])):
        table.add_row(
            Text("" if edge.source == before else _name(nodes[edge.source])),
            Text(f"→ {_name(nodes[edge.destination])}"),
            f"{edge.rate:.1f}/s",
            percent(edge.share),
            Text(("█" * round(_SHARE_CELLS * edge.share)) or "▏", style=_style(edge)),
            duration(edge.median),
            duration(edge.p99),
            _SECURITY[edge.security],
            Text(edge.trouble or ("mirrored, or tried again" if edge.hidden else ""), style=_style(edge)),
        )
        before = edge.source
    return Group(Text(f"{shown.rate:.1f}/s from outside, over the last {shown.window:.0f} s"), table)


def waterfall(shown: Waterfall, width: int) -> RenderableType:
    """One trace in `width` columns: what the request waited for is solid, and the worst of it stands out."""
    slowest = shown.slowest
    labels = max(len(_label(row)) for row in shown.rows)
    bars = max(20, min(60, width - labels - 22))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(20, width - bars - 22))
    table.add_column(no_wrap=True, min_width=bars)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for row in shown.rows:
        style = "bold red" if row is slowest else ""
        bar = Text(_bar(row, shown.duration, bars), style="red" if row is slowest else "cyan")
        notes = _plain(" ".join(text for text in (row.status if row.error else "", row.flags) if text))
        took = duration(row.duration / _NANOSECONDS)
        table.add_row(Text(_label(row), style=style), bar, Text(took, style=style), Text(notes, style="yellow"))
    began = datetime.fromtimestamp(shown.start_ns / _NANOSECONDS).astimezone()
    return Group(
        Text(sentence(shown), style="bold"),
        table,
        *(Text(_plain(f"{row.who}: {event}"), style="yellow") for row in shown.rows for event in row.events),
        Text(f"trace {shown.trace_id}, {began:%H:%M:%S}", style="dim"),
    )


def sentence(shown: Waterfall) -> str:
    """What a reader wants to know first."""
    told = shown.as_json()
    slowest = next(row for row in told["rows"] if row["span_id"] == told["slowest_span"])
    share = percent(slowest["blamed"] / max(shown.duration, 1))
    calling = ", calling" if slowest["kind"] == "client" else ""
    why = f" ({slowest['meaning']})" if slowest["meaning"] else ""
    took = duration(shown.duration / _NANOSECONDS)
    return _plain(f"{told['name']} took {took}; {share} of it in {slowest['who']}{calling}: {slowest['name']}{why}")


def traces(summaries: Sequence[dict[str, Any]]) -> RenderableType:
    """The last traces."""
    table = Table("trace", "at", "took", "status", "what", "mostly in", box=None, header_style="bold", pad_edge=False)
    for told in summaries:
        began = datetime.fromtimestamp(told["start_ns"] / _NANOSECONDS).astimezone()
        table.add_row(
            told["trace_id"],
            f"{began:%H:%M:%S}",
            duration(told["duration"] / _NANOSECONDS),
            Text(told["status"], style="red" if told["error"] else ""),
            Text(_plain(told["name"])),
            Text(_plain(f"{told['slowest']['who']}: {duration(told['slowest']['blamed'] / _NANOSECONDS)}")),
        )
    return table


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.{1 if seconds < 0.00995 else 0}f} ms"


def _name(node: Node) -> str:
    return _plain(f"{node.service} {node.version}".strip()) + (" (nobody)" if node.kind == "nobody" else "")


def _style(edge: Edge) -> str:
    return "red" if edge.errors >= 0.5 else "yellow" if edge.trouble else "green"


def _label(row: Row) -> str:
    return _plain(f"{''.join(_branches(row))}{row.who} {'→ ' if row.kind == 'client' else ''}{row.name}")


def _plain(text: str) -> str:
    """Names come from whoever sends spans: none of them may steer the terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _branches(row: Row) -> Iterator[str]:
    for last in row.last[1:-1]:
        yield "  " if last else "│ "
    if row.depth:
        yield "└ " if row.last[-1] else "├ "


def _bar(row: Row, total: int, width: int) -> str:
    """A span on the trace's time line: solid where the trace waited for just it."""

    def cells(begin: int, end: int) -> range:
        first = min(begin * width // max(total, 1), width - 1)
        return range(first, max(first + 1, min(width, round(end * width / max(total, 1)))))

    signs = [" "] * width
    for index in cells(row.start, row.start + row.duration):
        signs[index] = "─"
    for begin, end in row.critical:
        if (end - begin) * 2 * width >= total:  # what is shorter than half a cell would only smear
            for index in cells(begin, end):
                signs[index] = "█"
    return "".join(signs)
