"""The decisions of the gate."""

import math
from random import Random

import pytest

from bookinfo_canary.gate import GateDecision, evaluate
from bookinfo_canary.metrics import Comparison, VersionMetrics
from bookinfo_canary.release_plan import Criteria, Versions


def metrics(requests: int, failures: int = 0, slow: int = 0) -> VersionMetrics:
    """Return requests of 8 ms, of which `slow` took 240 ms and `failures` failed."""
    fast = requests - failures - slow
    return VersionMetrics(
        requests, failures, {5.0: 0.0, 10.0: fast, 100.0: fast, 250.0: fast + slow, math.inf: fast + slow}
    )


@pytest.fixture
def decide(versions: Versions, criteria: Criteria):
    def evaluate_step(
        canary: VersionMetrics, stable: VersionMetrics | None = None, unassigned_failures: float = 0.0
    ) -> GateDecision:
        stable = stable or metrics(900)
        return evaluate(Comparison(stable, canary, unassigned_failures), stable, versions, criteria)

    return evaluate_step


def test_canary_as_good_as_the_stable_version_passes(decide) -> None:
    assert decide(metrics(100)).outcome == "passed"


@pytest.mark.parametrize(("failures", "outcome"), [(1, "passed"), (2, "undecided"), (3, "undecided"), (4, "failed")])
def test_one_failure_in_a_hundred_passes_and_four_fail(decide, failures: int, outcome: str) -> None:
    assert decide(metrics(100, failures)).outcome == outcome


def test_more_requests_decide_the_same_share(decide) -> None:
    assert decide(metrics(100, 2)).outcome == "undecided"
    assert decide(metrics(1000, 20)).outcome == "failed"


def test_too_few_requests_are_undecided(decide) -> None:
    for failures in (0, 99):
        decision = decide(metrics(99, failures))
        assert decision.outcome == "undecided"
        assert decision.reason == "v2 had 99 of the 100 requests that are required"


def test_too_few_requests_to_the_stable_version_are_undecided(decide) -> None:
    decision = decide(metrics(100), metrics(20))
    assert decision.outcome == "undecided"
    assert decision.reason == "v1 had 20 of the 100 requests that a comparison requires"


def test_canary_above_the_minimum_fails_far_below_the_stable_version(versions: Versions, criteria: Criteria) -> None:
    lenient = Criteria(**{**vars(criteria), "min_success": 0.9})
    canary, stable = metrics(1000, 50), metrics(1000)
    decision = evaluate(Comparison(stable, canary), stable, versions, lenient)
    assert decision.outcome == "failed"
    assert decision.reason == "95.0 % of 1000 requests to v2 succeeded (minimum 99.0 %; v1: 100.0 %)"


def test_canary_fails_even_if_the_stable_version_fails_too(decide) -> None:
    """The minimum applies during an outage, too."""
    assert decide(metrics(1000, 100), metrics(1000, 100)).outcome == "failed"


def test_canary_much_slower_than_the_stable_version_fails(decide) -> None:
    decision = decide(metrics(100, slow=20))
    assert decision.outcome == "failed"
    assert decision.reason == "p99 of v2 is 242 ms (maximum 50 ms; v1: 10 ms)"


def test_one_slow_request_in_a_hundred_passes(decide) -> None:
    assert decide(metrics(100, slow=1)).outcome == "passed"


def test_canary_as_slow_as_the_stable_version_passes(decide) -> None:
    assert decide(metrics(100, slow=20), metrics(900, slow=180)).outcome == "passed"


def test_p99_below_the_floor_passes_at_any_ratio(versions: Versions, criteria: Criteria) -> None:
    """Nobody notices ten times 1 ms."""
    fast = VersionMetrics(900, 0, {0.5: 0.0, 1.0: 900.0, math.inf: 900.0})
    canary = metrics(100)
    assert evaluate(Comparison(fast, canary), fast, versions, criteria).outcome == "passed"
    strict = Criteria(**{**vars(criteria), "p99_floor_ms": 1.0})
    assert evaluate(Comparison(fast, canary), fast, versions, strict).outcome == "failed"


def durations(**counts: int) -> VersionMetrics:
    """Return requests whose durations end in the buckets of 10, 25, 50, 100 and 250 ms."""
    total, buckets = 0, {}
    for bound, name in ((10.0, "ms10"), (25.0, "ms25"), (50.0, "ms50"), (100.0, "ms100"), (250.0, "ms250")):
        total += counts.get(name, 0)
        buckets[bound] = float(total)
    return VersionMetrics(total, 0, {**buckets, math.inf: float(total)})


def test_difference_inside_one_bucket_is_undecided(decide) -> None:
    """A canary whose slow requests end in the bucket of the limit may still be within the limit."""
    stable = durations(ms10=980, ms100=20)
    assert decide(durations(ms10=80, ms100=20), stable).outcome == "passed"
    stable = durations(ms10=990, ms50=10)
    assert decide(durations(ms10=80, ms100=20), stable).outcome == "undecided"
    assert decide(durations(ms10=80, ms250=20), stable).outcome == "failed"


def test_p99_of_few_stable_requests_is_uncertain(decide) -> None:
    """One of 100 requests took up to 100 ms. That may be the true p99, so 100 ms is not certainly too slow."""
    few, many = durations(ms10=99, ms100=1), durations(ms10=9900, ms100=10)
    assert decide(durations(ms10=80, ms100=20), many).outcome == "failed"
    assert decide(durations(ms10=80, ms100=20), few).outcome == "undecided"


def test_reason_names_failures_that_reached_no_pod(decide) -> None:
    assert "7 failed requests reached no pod of any version" in decide(metrics(100, 7), unassigned_failures=7).reason


@pytest.mark.parametrize(
    ("failure_rate", "minimum", "maximum"),
    [(0.0, 1.0, 1.0), (0.002, 0.98, 1.0), (0.005, 0.9, 0.98), (0.01, 0.4, 0.7), (0.02, 0.0, 0.1), (0.03, 0.0, 0.01)],
)
def test_promotion_rates_match_the_documentation(decide, failure_rate: float, minimum: float, maximum: float) -> None:
    """docs/canary.md: four steps of at most five windows with 100 requests, each evaluated five times; 500 releases."""
    random = Random(7)

    def step() -> bool:
        failures = requests = 0
        for evaluation in range(1, 26):
            failures += sum(random.random() < failure_rate for _ in range(20))
            requests += 20
            outcome = decide(metrics(requests, failures)).outcome
            if outcome == "failed":
                return False
            if outcome == "passed" and evaluation % 5 == 0:
                return True
        return False

    promoted = sum(all(step() for _ in range(4)) for _ in range(500)) / 500
    assert minimum <= promoted <= maximum
