"""Ranges of binomially distributed numbers."""

import pytest

from bookinfo_lab.scenarios import binomial


@pytest.mark.parametrize("chance", [0.0, 0.1, 0.5, 1.0])
def test_something_comes_out(chance: float) -> None:
    assert binomial.probability(0, 50, 50, chance) == pytest.approx(1.0)


def test_a_single_outcome_has_its_textbook_probability() -> None:
    assert binomial.probability(3, 3, 5, 0.5) == pytest.approx(10 / 32)


@pytest.mark.parametrize(("draws", "chance"), [(100, 0.5), (1600, 0.1), (200, 0.6)])
def test_an_interval_leaves_out_as_little_as_was_asked(draws: int, chance: float) -> None:
    low, high = binomial.interval(draws, chance, 1e-6)
    assert 1 - binomial.probability(low, high, draws, chance) <= 1e-6


@pytest.mark.parametrize(("draws", "chance"), [(100, 0.5), (1600, 0.1), (200, 0.6)])
def test_an_interval_is_no_wider_than_it_must_be(draws: int, chance: float) -> None:
    low, high = binomial.interval(draws, chance, 1e-6)
    assert binomial.probability(0, low, draws, chance) > 0.5e-6
    assert binomial.probability(high, draws, draws, chance) > 0.5e-6


def test_what_is_certain_has_no_width() -> None:
    assert binomial.interval(100, 0.0, 1e-8) == (0, 0)
    assert binomial.interval(100, 1.0, 1e-8) == (100, 100)
