"""The gate: whether the metrics of a step allow the next step.

There are two rules. Each compares a share of good requests with a target: requests that succeed, and requests that are
fast enough. A share at or above its target passes. A share fails at once if it is so far below its target that chance
does not explain it, which is when the upper end of its Wilson interval is below the target too. Any other share is
undecided until there are more requests.
"""

import math
from dataclasses import dataclass
from typing import Literal

from bookinfo_canary.metrics import Comparison, VersionMetrics
from bookinfo_canary.release_plan import Criteria, Versions
from bookinfo_canary.statistics import bucket_upper_bound, count_within, quantile, wilson_interval

Outcome = Literal["passed", "failed", "undecided"]

FAST_SHARE = 0.99
"""The share of requests that must be fast enough, because the rule is about the 99th percentile."""


@dataclass(frozen=True)
class GateDecision:
    """The outcome of the gate, and the reason."""

    outcome: Outcome
    reason: str


def evaluate(observed: Comparison, baseline: VersionMetrics, versions: Versions, criteria: Criteria) -> GateDecision:
    """Evaluate a step from its metrics. `baseline` is the stable version to compare with."""
    canary, required = observed.canary, criteria.min_requests
    if canary.requests < required:
        return GateDecision(
            "undecided", f"{versions.canary} had {canary.requests:.0f} of the {required} requests that are required"
        )
    if baseline.requests < required:
        return GateDecision(
            "undecided",
            f"{versions.stable} had {baseline.requests:.0f} of the {required} requests that a comparison requires",
        )
    rules = [_success_rule(observed, baseline, versions, criteria), _speed_rule(canary, baseline, versions, criteria)]
    for outcome in ("failed", "undecided"):
        for rule in rules:
            if rule.outcome == outcome:
                return rule
    return GateDecision("passed", "; ".join(rule.reason for rule in rules))


def _success_rule(
    observed: Comparison, baseline: VersionMetrics, versions: Versions, criteria: Criteria
) -> GateDecision:
    canary = observed.canary
    stable_share = baseline.successes / baseline.requests
    target = max(criteria.min_success, stable_share - criteria.max_success_drop)
    comparison = "" if target == criteria.min_success else f"; {versions.stable}: {_percent(stable_share)}"
    reason = (
        f"{_percent(canary.successes / canary.requests)} of {canary.requests:.0f} requests to {versions.canary} "
        f"succeeded (minimum {_percent(target)}{comparison})"
    )
    if observed.unassigned_failures:
        reason += f"; {observed.unassigned_failures:.0f} failed requests reached no pod of any version"
    return GateDecision(_decide(canary.successes, canary.requests, target), reason)


def _speed_rule(
    canary: VersionMetrics, baseline: VersionMetrics, versions: Versions, criteria: Criteria
) -> GateDecision:
    stable_p99 = quantile(FAST_SHARE, baseline.durations)
    limit = _limit(stable_p99, criteria)
    total = canary.durations.get(math.inf, 0.0)
    reason = (
        f"p99 of {versions.canary} is {quantile(FAST_SHARE, canary.durations):.0f} ms "
        f"(maximum {limit:.0f} ms; {versions.stable}: {stable_p99:.0f} ms)"
    )
    # The stable p99 is an estimate, and so is every count that ends inside a bucket. A canary fails only if it misses
    # the target even with the most favorable value of both.
    stable_total = baseline.durations.get(math.inf, 0.0)
    _, highest_share = wilson_interval(FAST_SHARE * stable_total, stable_total)
    highest_limit = _limit(quantile(highest_share, baseline.durations), criteria)
    highest_limit = bucket_upper_bound(highest_limit, canary.durations)
    outcome = _decide(
        count_within(limit, canary.durations), total, FAST_SHARE, count_within(highest_limit, canary.durations)
    )
    return GateDecision(outcome, reason)


def _limit(stable_p99: float, criteria: Criteria) -> float:
    # The stable p99 is NaN if the stable version has no successful request. `max` then returns the floor.
    return max(criteria.p99_floor_ms, criteria.max_p99_ratio * stable_p99)


def _decide(good: float, total: float, target: float, good_at_best: float | None = None) -> Outcome:
    if total > 0 and good >= target * total - 1e-9:
        return "passed"
    _, highest_share = wilson_interval(good if good_at_best is None else good_at_best, total)
    return "failed" if highest_share < target else "undecided"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
