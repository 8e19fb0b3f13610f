"""The binomial distribution."""

import pytest

from bookinfo_lab.scenarios import binomial


@pytest.mark.parametrize("success", [0.0, 0.1, 0.5, 1.0])
def test_probabilities_of_all_outcomes_add_up_to_1(success: float) -> None:
    assert binomial.probability(0, 50, 50, success) == pytest.approx(1.0)


def test_probability_of_a_single_outcome() -> None:
    assert binomial.probability(3, 3, 5, 0.5) == pytest.approx(10 / 32)


@pytest.mark.parametrize(("trials", "success"), [(100, 0.5), (1600, 0.1), (200, 0.6)])
def test_probability_outside_the_interval_is_at_most_alpha(trials: int, success: float) -> None:
    low, high = binomial.interval(trials, success, 1e-6)
    assert 1 - binomial.probability(low, high, trials, success) <= 1e-6


@pytest.mark.parametrize(("trials", "success"), [(100, 0.5), (1600, 0.1), (200, 0.6)])
def test_interval_is_as_small_as_possible(trials: int, success: float) -> None:
    low, high = binomial.interval(trials, success, 1e-6)
    assert binomial.probability(0, low, trials, success) > 0.5e-6
    assert binomial.probability(high, trials, trials, success) > 0.5e-6


def test_interval_of_a_certain_outcome_has_no_width() -> None:
    assert binomial.interval(100, 0.0, 1e-8) == (0, 0)
    assert binomial.interval(100, 1.0, 1e-8) == (100, 100)
