"""The binomial distribution: the number of successes in independent trials with the same probability."""

import math


def probability(low: int, high: int, trials: int, success: float) -> float:
    """Return P(low <= X <= high) for X ~ Binomial(`trials`, `success`)."""
    if success in (0.0, 1.0):
        certain = trials if success else 0
        return 1.0 if low <= certain <= high else 0.0
    return math.fsum(math.exp(_log_mass(k, trials, success)) for k in range(max(low, 0), min(high, trials) + 1))


def interval(trials: int, success: float, alpha: float) -> tuple[int, int]:
    """Return the smallest [low, high] that X leaves, on either side, with a probability of at most `alpha` / 2."""
    low, below = 0, 0.0
    while below + (mass := probability(low, low, trials, success)) <= alpha / 2:
        below, low = below + mass, low + 1
    high, above = trials, 0.0
    while above + (mass := probability(high, high, trials, success)) <= alpha / 2:
        above, high = above + mass, high - 1
    return low, high


def _log_mass(successes: int, trials: int, success: float) -> float:
    combinations = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return combinations + successes * math.log(success) + (trials - successes) * math.log1p(-success)
