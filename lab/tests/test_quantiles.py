"""The one definition of a quantile, and its uses."""

import pytest

from bookinfo_lab.client.load import Answer, Tally
from bookinfo_lab.observe import graph
from bookinfo_lab.observe.requests import MeshRequest, Peer
from bookinfo_lab.quantiles import quantile


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (4, 0.5, 2), (99, 0.99, 99), (100, 0.99, 99), (101, 0.99, 100), (5, 0, 1)],
)
def test_quantile_is_the_nearest_rank(count: int, share: float, expected: float) -> None:
    assert quantile(range(1, count + 1), share) == expected


def test_quantile_without_samples_is_zero() -> None:
    assert quantile([], 0.99) == 0.0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 99, 100, 101, 200])
def test_load_and_graph_report_the_same_quantiles(count: int) -> None:
    seconds = [number / 1000 for number in range(1, count + 1)]
    tally = Tally()
    for sample in seconds:
        tally.add(Answer("200", "v1", sample, 0.0))
    (row,) = tally.rows(0.0)
    (edge,) = graph.build([_request(sample) for sample in seconds], [], 0.0, 10.0).edges
    assert (row.median, row.p99) == pytest.approx((1000 * edge.median, 1000 * edge.p99))


def _request(seconds: float) -> MeshRequest:
    return MeshRequest(
        ended=0.0,
        reporter="source",
        source=Peer("caller", "default", "caller"),
        destination=Peer("called", "default", "called"),
        destination_service="called.default.svc.cluster.local",
        destination_port=80,
        method="GET",
        code=200,
        flags="-",
        duration=seconds,
        security="unknown",
        trace_id="",
    )
