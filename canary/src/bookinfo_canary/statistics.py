"""How sure a count makes us, and what a histogram says.

Both rules of the gate are shares of good requests (successful; fast enough) that are held against a target, so one
interval serves both.
"""

import math
from collections.abc import Mapping

SURE = 2.576
"""Standard deviations: the true share is above the interval, or below it, with one chance in 200 each."""

Histogram = Mapping[float, float]
"""Requests by the upper bound of their bucket, cumulative as in Prometheus; the last bound is infinite."""


def wilson(good: float, total: float, z: float = SURE) -> tuple[float, float]:
    """The score interval of a share: where the true one lies, given `good` of `total`. (0, 1) for no request.

    Unlike the normal approximation it is right for few requests and for shares near 0 and 1 (E. B. Wilson, 1927).
    """
    if total <= 0:
        return 0.0, 1.0
    share = good / total
    weight = z * z / total
    middle = share + weight / 2
    spread = z * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, (middle - spread) / (1 + weight)), min(1.0, (middle + spread) / (1 + weight))


def quantile(share: float, histogram: Histogram) -> float:
    """The value that `share` of the requests do not exceed, linear inside a bucket as PromQL's histogram_quantile.

    NaN for no request; the last finite bound where the value lies beyond it.
    """
    total = _total(histogram)
    if total <= 0:
        return math.nan
    rank = share * total
    below, lower = 0.0, 0.0
    for bound, count in sorted(histogram.items()):
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, (lower if math.isinf(bound) else bound)
    return lower


def within(limit: float, histogram: Histogram) -> float:
    """How many requests took at most `limit`: the inverse of `quantile`, so an estimate inside a bucket.

    What is beyond the last finite bound is beyond every limit.
    """
    below, lower = 0.0, 0.0
    for bound, count in sorted(histogram.items()):
        if limit < bound:
            return below if math.isinf(bound) else below + (count - below) * (limit - lower) / (bound - lower)
        below, lower = count, bound
    return below


def bucket_end(value: float, histogram: Histogram) -> float:
    """The bound of the bucket in which a value lies: what a histogram cannot tell apart from it."""
    return min((bound for bound in histogram if bound >= value and math.isfinite(bound)), default=value)


def _total(histogram: Histogram) -> float:
    return max(histogram.values(), default=0.0)
