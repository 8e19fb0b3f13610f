"""What a lab has seen of its own traffic, as JSON has it: for the watch page and for `bookinfo graph` and `trace`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe import graph, waterfall
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.observe.spans import SpanStore
from bookinfo_lab.resources.topology import Topology

WINDOW = 10.0
"""Seconds over which the graph's rates are, unless somebody asks for others."""

LONGEST_WINDOW = 300.0
SETTLED = 3.0
"""Seconds after a trace's last end until its spans are taken for complete: each maker sends them in batches."""

SHOWN = 30
"""Traces that the page lists."""

ALL = 1_000_000
"""More traces than are kept."""


@dataclass
class Observations:
    """Nothing is computed before somebody asks."""

    topology: Callable[[], Topology]
    requests: RequestLog
    spans: SpanStore
    _summaries: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    def graph(self, window: float = WINDOW) -> dict[str, Any]:
        """The graph of the last `window` seconds (`graph.Graph.as_json`).

        Raises:
            LabError: that is no window.
        """
        if not 1 <= window <= LONGEST_WINDOW:
            raise LabError(f"a window of {window:g} s: use 1 to {LONGEST_WINDOW:g}")
        now = time.time()
        kept = self.requests.since()
        if len(kept) < self.requests.cursor:  # older ones have made room
            window = min(window, max(now - kept[0].ended, 1))
        return graph.build(kept, graph.inventory(self.topology()), now, window).as_json()

    def traces(self, most: int = SHOWN) -> list[dict[str, Any]]:
        """The last traces whose spans have come, newest first (`waterfall.Waterfall.summary`)."""
        settled = time.time_ns() - int(SETTLED * 1e9)
        told: dict[str, tuple[int, dict[str, Any]]] = {}
        for trace_id in self.spans.traces():
            spans = self.spans.trace(trace_id)
            if max(span.end_ns for span in spans) > settled:
                continue
            before = self._summaries.get(trace_id)
            told[trace_id] = (
                before if before and before[0] == len(spans) else (len(spans), waterfall.waterfall(spans).summary())
            )
            if len(told) == most:
                break
        self._summaries = told
        return sorted((summary for _, summary in told.values()), key=lambda item: item["start_ns"], reverse=True)

    def trace(self, trace_id: str) -> dict[str, Any]:
        """One trace (`waterfall.Waterfall.as_json`), by its id or the beginning of it.

        Raises:
            LabError: there is none, or more than one.
        """
        found = [known for known in self.spans.traces() if known.startswith(trace_id.lower())]
        if len(found) != 1:
            what = (
                "more than one trace begins so" if found else "there is no such trace, or it has made room for others"
            )
            raise LabError(f"{trace_id}: {what}; `bookinfo trace --list` shows the last ones")
        return waterfall.waterfall(self.spans.trace(found[0])).as_json()
