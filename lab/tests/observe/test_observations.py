"""What a lab has seen, for those who ask."""

import time

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe import observations as module
from bookinfo_lab.observe.observations import Observations
from bookinfo_lab.observe.requests import MeshRequest, Peer, RequestLog
from bookinfo_lab.observe.spans import Span, SpanStore
from bookinfo_lab.resources.topology import Topology

SECOND = 1_000_000_000


def observations(capacity: int = 100) -> Observations:
    return Observations(lambda: Topology((), (), ()), RequestLog(capacity), SpanStore())


def request(ago: float) -> MeshRequest:
    source, destination = Peer("productpage-v1", "default"), Peer("reviews-v1", "default")
    host = "reviews.default.svc.cluster.local"
    ended = time.time() - ago
    return MeshRequest(ended, "source", source, destination, host, 9080, "GET", 200, "-", 0.01, "unknown", "")


def span(trace: str, begin: int, seconds: int = 1) -> Span:
    return Span(trace, trace, "", "GET", "server", begin * SECOND, (begin + seconds) * SECOND, False, {}, {})


def test_rates_are_over_the_window() -> None:
    seen = observations()
    for _ in range(40):
        seen.requests.add(request(ago=5))
    assert seen.graph(20)["rate"] == pytest.approx(2)


def test_where_requests_have_made_room_the_rate_is_over_what_is_kept() -> None:
    seen = observations(capacity=40)
    for _ in range(100):
        seen.requests.add(request(ago=8))
    told = seen.graph(200)
    assert told["window"] == pytest.approx(8, abs=2)
    assert told["rate"] == pytest.approx(5, rel=0.3)


@pytest.mark.parametrize("window", [0, -1, 301, float("nan"), float("inf")])
def test_a_window_that_is_none_is_refused(window: float) -> None:
    with pytest.raises(LabError, match="use 1 to 300"):
        observations().graph(window)


def test_traces_are_told_newest_first_and_grow_with_their_spans() -> None:
    seen = observations()
    seen.spans.add([span("old", 1), span("new", 2)])
    assert [told["trace_id"] for told in seen.traces()] == ["new", "old"]
    seen.spans.add([Span("old", "child", "old", "GET", "server", SECOND, 5 * SECOND, False, {}, {})])
    old = seen.traces()[1]
    assert (old["spans"], old["duration"]) == (2, 4 * SECOND)


def test_the_page_gets_the_last_traces_and_who_asks_for_all_gets_all() -> None:
    seen = observations()
    seen.spans.add(span(f"{number:02}", number) for number in range(50))
    assert len(seen.traces()) == 30
    assert len(seen.traces(module.ALL)) == 50


def test_a_trace_is_listed_when_its_spans_have_come_which_they_do_in_batches() -> None:
    seen = observations()
    now = time.time_ns()
    seen.spans.add([Span("just", "1", "", "GET", "server", now - SECOND, now, False, {}, {})])
    seen.spans.add([Span("before", "1", "", "GET", "server", now - 9 * SECOND, now - 8 * SECOND, False, {}, {})])
    assert [told["trace_id"] for told in seen.traces()] == ["before"]
    assert seen.trace("just")["trace_id"] == "just"
