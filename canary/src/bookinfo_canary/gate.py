"""The gate: whether what was seen lets the canary have more.

Two rules, each a share of good requests against a target: requests that succeed, and requests that are fast enough.
A share at or above its target passes. One that lies below it so far that chance does not explain it (the upper end of
its Wilson interval is below too) fails at once. What is between is undecided, and more requests must tell.
"""

import math
from dataclasses import dataclass
from typing import Literal

from bookinfo_canary.metrics import Comparison, Observed
from bookinfo_canary.plan import Criteria, Versions
from bookinfo_canary.statistics import bucket_end, quantile, wilson, within

Outcome = Literal["passed", "failed", "undecided"]

FAST = 0.99
"""The share that must be fast enough: the rule is about the 99th percentile."""


@dataclass(frozen=True)
class Judgement:
    """What the gate says, and why."""

    outcome: Outcome
    reason: str


def judge(seen: Comparison, baseline: Observed, versions: Versions, criteria: Criteria) -> Judgement:
    """Judge a step by what was seen in it; `baseline` is what is known of the stable version."""
    canary, needed = seen.canary, criteria.min_requests
    if canary.requests < needed:
        return Judgement(
            "undecided", f"{versions.canary} had {canary.requests:.0f} of the {needed} requests that are needed"
        )
    if baseline.requests < needed:
        return Judgement(
            "undecided",
            f"{versions.stable} had {baseline.requests:.0f} of the {needed} requests that a comparison needs",
        )
    rules = [_successful(seen, baseline, versions, criteria), _fast(canary, baseline, versions, criteria)]
    for outcome in ("failed", "undecided"):
        for rule in rules:
            if rule.outcome == outcome:
                return rule
    return Judgement("passed", "; ".join(rule.reason for rule in rules))


def _successful(seen: Comparison, baseline: Observed, versions: Versions, criteria: Criteria) -> Judgement:
    canary = seen.canary
    stable_share = baseline.successes / baseline.requests
    target = max(criteria.min_success, stable_share - criteria.max_success_drop)
    because = "" if target == criteria.min_success else f" ({versions.stable}: {_percent(stable_share)})"
    reason = (
        f"{_percent(canary.successes / canary.requests)} of {canary.requests:.0f} requests to {versions.canary} "
        f"succeeded, at least {_percent(target)} must{because}"
    )
    if seen.lost:
        reason += f"; {seen.lost:.0f} of the failures reached no instance of any version"
    return Judgement(_decide(canary.successes, canary.requests, target), reason)


def _fast(canary: Observed, baseline: Observed, versions: Versions, criteria: Criteria) -> Judgement:
    stable = quantile(FAST, baseline.durations)
    limit = _limit(stable, criteria)
    total = canary.durations.get(math.inf, 0.0)
    reason = (
        f"p99 of {versions.canary} is {quantile(FAST, canary.durations):.0f} ms, at most {limit:.0f} ms may be "
        f"({versions.stable}: {stable:.0f} ms)"
    )
    # The stable's p99 is an estimate too, and so is every count that ends inside a bucket: for a failure both are taken
    # as they would be best for the canary.
    known = baseline.durations.get(math.inf, 0.0)
    _, at_most = wilson(FAST * known, known)
    at_best = bucket_end(_limit(quantile(at_most, baseline.durations), criteria), canary.durations)
    outcome = _decide(within(limit, canary.durations), total, FAST, within(at_best, canary.durations))
    return Judgement(outcome, reason)


def _limit(stable: float, criteria: Criteria) -> float:
    # NaN, where the stable version answered nothing successfully, is not above the floor.
    return max(criteria.p99_floor, criteria.max_p99_ratio * stable)


def _decide(good: float, total: float, target: float, good_at_best: float | None = None) -> Outcome:
    if total > 0 and good >= target * total - 1e-9:
        return "passed"
    _, at_best = wilson(good if good_at_best is None else good_at_best, total)
    return "failed" if at_best < target else "undecided"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
