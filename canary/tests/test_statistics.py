"""Confidence intervals and histograms."""

import math

import pytest

from bookinfo_canary.statistics import bucket_upper_bound, count_within, quantile, wilson_interval

HISTOGRAM = {10.0: 50.0, 25.0: 90.0, 50.0: 99.0, math.inf: 100.0}


@pytest.mark.parametrize(
    ("good", "total", "interval"),
    [(100, 100, (0.9630, 1.0)), (95, 100, (0.8882, 0.9785)), (50, 100, (0.4038, 0.5962)), (0, 10, (0.0, 0.2775))],
    ids=["all", "most", "half", "none"],
)
def test_interval_has_the_published_values(good: int, total: int, interval: tuple[float, float]) -> None:
    """Published values at 95 %, which is 1.96 standard deviations."""
    assert wilson_interval(good, total, 1.96) == pytest.approx(interval, abs=0.0001)


def test_interval_without_requests_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_interval_narrows_with_more_requests() -> None:
    few, many = wilson_interval(9, 10), wilson_interval(9000, 10000)
    assert few[0] < many[0] < 0.9 < many[1] < few[1]


@pytest.mark.parametrize(("share", "value"), [(0.5, 10.0), (0.7, 17.5), (0.99, 50.0), (1.0, 50.0)])
def test_quantile_is_linear_inside_its_bucket(share: float, value: float) -> None:
    assert quantile(share, HISTOGRAM) == pytest.approx(value)


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile(0.99, {10.0: 0.0, 50.0: 0.0, math.inf: 8.0}) == 50.0


def test_quantile_without_requests_is_nan() -> None:
    assert math.isnan(quantile(0.99, {10.0: 0.0, math.inf: 0.0}))
    assert math.isnan(quantile(0.99, {}))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9, 0.95, 0.99])
def test_count_within_is_the_inverse_of_quantile(share: float) -> None:
    assert count_within(quantile(share, HISTOGRAM), HISTOGRAM) == pytest.approx(100 * share)


@pytest.mark.parametrize(("value", "end"), [(3, 10), (10, 10), (11, 25), (50, 50), (70, 70)])
def test_bucket_upper_bound_contains_the_value(value: float, end: float) -> None:
    assert bucket_upper_bound(value, HISTOGRAM) == end


def test_requests_beyond_the_last_bound_exceed_every_limit() -> None:
    assert count_within(1e9, HISTOGRAM) == 99.0
