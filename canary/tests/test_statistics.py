"""How sure a count makes us, and what a histogram says."""

import math

import pytest

from bookinfo_canary.statistics import bucket_end, quantile, wilson, within

HISTOGRAM = {10.0: 50.0, 25.0: 90.0, 50.0: 99.0, math.inf: 100.0}


@pytest.mark.parametrize(
    ("good", "total", "interval"),
    [(100, 100, (0.9630, 1.0)), (95, 100, (0.8882, 0.9785)), (50, 100, (0.4038, 0.5962)), (0, 10, (0.0, 0.2775))],
    ids=["all", "most", "half", "none"],
)
def test_the_interval_is_wilsons(good: int, total: int, interval: tuple[float, float]) -> None:
    """Known values at 95 %, which is 1.96 standard deviations."""
    assert wilson(good, total, 1.96) == pytest.approx(interval, abs=0.0001)


def test_nothing_seen_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_more_requests_make_surer() -> None:
    few, many = wilson(9, 10), wilson(9000, 10000)
    assert few[0] < many[0] < 0.9 < many[1] < few[1]


@pytest.mark.parametrize(("share", "value"), [(0.5, 10.0), (0.7, 17.5), (0.99, 50.0), (1.0, 50.0)])
def test_a_quantile_is_linear_inside_its_bucket(share: float, value: float) -> None:
    assert quantile(share, HISTOGRAM) == pytest.approx(value)


def test_what_is_slower_than_the_last_bound_is_at_least_that_bound() -> None:
    assert quantile(0.99, {10.0: 0.0, 50.0: 0.0, math.inf: 8.0}) == 50.0


def test_no_request_has_no_quantile() -> None:
    assert math.isnan(quantile(0.99, {10.0: 0.0, math.inf: 0.0}))
    assert math.isnan(quantile(0.99, {}))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9, 0.95, 0.99])
def test_counting_within_a_limit_undoes_a_quantile(share: float) -> None:
    assert within(quantile(share, HISTOGRAM), HISTOGRAM) == pytest.approx(100 * share)


@pytest.mark.parametrize(("value", "end"), [(3, 10), (10, 10), (11, 25), (50, 50), (70, 70)])
def test_a_value_cannot_be_told_from_the_end_of_its_bucket(value: float, end: float) -> None:
    assert bucket_end(value, HISTOGRAM) == end


def test_what_is_beyond_the_last_bound_is_within_no_limit() -> None:
    assert within(1e9, HISTOGRAM) == 99.0
