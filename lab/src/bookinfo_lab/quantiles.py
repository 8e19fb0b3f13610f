"""The quantiles of measured samples, for every command and page that prints a p50 or a p99."""

from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest sample that is greater than or equal to `share` of all samples; 0 without samples.

    `ordered` is sorted in ascending order, and `share` is from 0 to 1. This is the nearest-rank definition. Its result
    is always one of the samples, so that a p99 is the time of a request that really took place:
    https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method
    """
    if not ordered:
        return 0.0
    rank = -int(-share * len(ordered) // 1)  # rounded up; samples are counted from 1
    return ordered[max(rank, 1) - 1]
