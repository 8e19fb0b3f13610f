"""Confidence intervals and histograms.

Both rules of the gate compare a share of good requests (successful, or fast enough) with a target, so both use one
interval.
"""

import math
from collections.abc import Mapping

Z_SCORE = 2.576
"""Standard deviations of a two-sided 99 % interval: the true share lies above it with a probability of 1 in 200."""

Histogram = Mapping[float, float]
"""Requests by the upper bound of their bucket, cumulative as in Prometheus. The last bound is infinite."""


def wilson_interval(good: float, total: float, z: float = Z_SCORE) -> tuple[float, float]:
    """Return the Wilson score interval of a share, given `good` of `total`. It is (0, 1) without requests.

    Unlike the normal approximation it is correct for few requests and for shares near 0 and 1 (E. B. Wilson, 1927).
    """
    if total <= 0:
        return 0.0, 1.0
    share = good / total
    weight = z * z / total
    middle = share + weight / 2
    spread = z * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, (middle - spread) / (1 + weight)), min(1.0, (middle + spread) / (1 + weight))


def quantile(share: float, histogram: Histogram) -> float:
    """Return the value that `share` of the requests do not exceed.

    It is interpolated linearly inside a bucket, like PromQL's histogram_quantile. It is NaN without requests, and the
    last finite bound if the value lies beyond that.
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


def count_within(limit: float, histogram: Histogram) -> float:
    """Return how many requests took at most `limit`: the inverse of `quantile`, so an estimate inside a bucket.

    Requests beyond the last finite bound exceed every limit.
    """
    below, lower = 0.0, 0.0
    for bound, count in sorted(histogram.items()):
        if limit < bound:
            return below if math.isinf(bound) else below + (count - below) * (limit - lower) / (bound - lower)
        below, lower = count, bound
    return below


def bucket_upper_bound(value: float, histogram: Histogram) -> float:
    """Return the upper bound of the bucket of a value. The histogram cannot distinguish the two."""
    return min((bound for bound in histogram if bound >= value and math.isfinite(bound)), default=value)


def _total(histogram: Histogram) -> float:
    return max(histogram.values(), default=0.0)
