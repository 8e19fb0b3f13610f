"""How many of N independent draws may come out so, when each does with the same probability."""

import math


def probability(low: int, high: int, draws: int, chance: float) -> float:
    """P(low <= X <= high) for X ~ Binomial(`draws`, `chance`)."""
    if chance in (0.0, 1.0):
        certain = draws if chance else 0
        return 1.0 if low <= certain <= high else 0.0
    return math.fsum(math.exp(_log_mass(k, draws, chance)) for k in range(max(low, 0), min(high, draws) + 1))


def interval(draws: int, chance: float, alpha: float) -> tuple[int, int]:
    """The widest range to trust: the smallest [low, high] outside of which X falls with at most `alpha`."""
    low, below = 0, 0.0
    while below + (mass := probability(low, low, draws, chance)) <= alpha / 2:
        below, low = below + mass, low + 1
    high, above = draws, 0.0
    while above + (mass := probability(high, high, draws, chance)) <= alpha / 2:
        above, high = above + mass, high - 1
    return low, high


def _log_mass(successes: int, draws: int, chance: float) -> float:
    ways = math.lgamma(draws + 1) - math.lgamma(successes + 1) - math.lgamma(draws - successes + 1)
    return ways + successes * math.log(chance) + (draws - successes) * math.log1p(-chance)
