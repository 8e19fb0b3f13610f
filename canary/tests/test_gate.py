"""What the gate lets through."""

import math
from random import Random

import pytest

from bookinfo_canary.gate import Judgement, judge
from bookinfo_canary.metrics import Comparison, Observed
from bookinfo_canary.plan import Criteria, Versions


def observed(requests: int, failures: int = 0, slow: int = 0) -> Observed:
    """Requests of 8 ms, but for `slow` of 240 ms."""
    fast = requests - failures - slow
    return Observed(requests, failures, {5.0: 0.0, 10.0: fast, 100.0: fast, 250.0: fast + slow, math.inf: fast + slow})


@pytest.fixture
def judged(versions: Versions, criteria: Criteria):
    def judge_it(canary: Observed, stable: Observed | None = None, lost: float = 0.0) -> Judgement:
        stable = stable or observed(900)
        return judge(Comparison(stable, canary, lost), stable, versions, criteria)

    return judge_it


def test_a_canary_as_good_as_the_stable_version_passes(judged) -> None:
    assert judged(observed(100)).outcome == "passed"


@pytest.mark.parametrize(("failures", "outcome"), [(1, "passed"), (2, "undecided"), (3, "undecided"), (4, "failed")])
def test_of_a_hundred_requests_one_may_fail_and_four_are_no_chance(judged, failures: int, outcome: str) -> None:
    assert judged(observed(100, failures)).outcome == outcome


def test_the_same_share_of_more_requests_is_surer(judged) -> None:
    assert judged(observed(100, 2)).outcome == "undecided"
    assert judged(observed(1000, 20)).outcome == "failed"


def test_few_requests_decide_nothing_however_they_end(judged) -> None:
    for failures in (0, 99):
        judgement = judged(observed(99, failures))
        assert judgement.outcome == "undecided"
        assert judgement.reason == "v2 had 99 of the 100 requests that are needed"


def test_a_stable_version_without_requests_is_nothing_to_compare_with(judged) -> None:
    judgement = judged(observed(100), observed(20))
    assert judgement.outcome == "undecided"
    assert judgement.reason == "v1 had 20 of the 100 requests that a comparison needs"


def test_a_canary_may_be_above_the_limit_and_still_too_far_below_the_stable_version(
    versions: Versions, criteria: Criteria
) -> None:
    lenient = Criteria(**{**vars(criteria), "min_success": 0.9})
    canary, stable = observed(1000, 50), observed(1000)
    judgement = judge(Comparison(stable, canary), stable, versions, lenient)
    assert judgement.outcome == "failed"
    assert judgement.reason == "95.0 % of 1000 requests to v2 succeeded, at least 99.0 % must (v1: 100.0 %)"


def test_a_canary_may_not_fail_because_the_stable_version_fails_too(judged) -> None:
    """A release into an outage is none: the floor holds for everybody."""
    assert judged(observed(1000, 100), observed(1000, 100)).outcome == "failed"


def test_a_canary_much_slower_than_the_stable_version_fails(judged) -> None:
    judgement = judged(observed(100, slow=20))
    assert judgement.outcome == "failed"
    assert judgement.reason == "p99 of v2 is 242 ms, at most 50 ms may be (v1: 10 ms)"


def test_one_slow_request_in_a_hundred_is_what_a_p99_allows(judged) -> None:
    assert judged(observed(100, slow=1)).outcome == "passed"


def test_slow_is_measured_against_the_stable_version(judged) -> None:
    assert judged(observed(100, slow=20), observed(900, slow=180)).outcome == "passed"


def test_below_the_floor_no_ratio_is_too_high(versions: Versions, criteria: Criteria) -> None:
    """Ten times 1 ms is nothing that anybody feels."""
    fast = Observed(900, 0, {0.5: 0.0, 1.0: 900.0, math.inf: 900.0})
    canary = observed(100)
    assert judge(Comparison(fast, canary), fast, versions, criteria).outcome == "passed"
    strict = Criteria(**{**vars(criteria), "p99_floor": 1.0})
    assert judge(Comparison(fast, canary), fast, versions, strict).outcome == "failed"


def in_buckets(**counts: int) -> Observed:
    """So many requests of at most 10, 25, 50, 100 and 250 ms."""
    total, durations = 0, {}
    for bound, name in ((10.0, "ms10"), (25.0, "ms25"), (50.0, "ms50"), (100.0, "ms100"), (250.0, "ms250")):
        total += counts.get(name, 0)
        durations[bound] = float(total)
    return Observed(total, 0, {**durations, math.inf: float(total)})


def test_a_difference_inside_one_bucket_is_not_sure(judged) -> None:
    """Both versions were between 50 and 100 ms, the canary more often: it may still be within 1.5 times."""
    stable = in_buckets(ms10=980, ms100=20)
    assert judged(in_buckets(ms10=80, ms100=20), stable).outcome == "passed"
    stable = in_buckets(ms10=990, ms50=10)
    assert judged(in_buckets(ms10=80, ms100=20), stable).outcome == "undecided"
    assert judged(in_buckets(ms10=80, ms250=20), stable).outcome == "failed"


def test_the_stable_version_of_few_requests_may_be_slower_than_it_looked(judged) -> None:
    """One of 100 took up to 100 ms: whether that is its p99 cannot be known, so 100 ms is not surely too slow."""
    few, many = in_buckets(ms10=99, ms100=1), in_buckets(ms10=9900, ms100=10)
    assert judged(in_buckets(ms10=80, ms100=20), many).outcome == "failed"
    assert judged(in_buckets(ms10=80, ms100=20), few).outcome == "undecided"


def test_failures_that_reached_no_instance_are_named(judged) -> None:
    assert "7 of the failures reached no instance" in judged(observed(100, 7), lost=7).reason


@pytest.mark.parametrize(
    ("failing", "least", "most"),
    [(0.0, 1.0, 1.0), (0.002, 0.98, 1.0), (0.005, 0.9, 0.98), (0.01, 0.4, 0.7), (0.02, 0.0, 0.1), (0.03, 0.0, 0.01)],
)
def test_how_often_a_canary_is_promoted_is_as_the_page_says(judged, failing: float, least: float, most: float) -> None:
    """docs/canary.md: four steps of at most five windows with 100 requests, each looked at five times; 500 releases."""
    random = Random(7)

    def step() -> bool:
        failures = requests = 0
        for look in range(1, 26):
            failures += sum(random.random() < failing for _ in range(20))
            requests += 20
            outcome = judged(observed(requests, failures)).outcome
            if outcome == "failed":
                return False
            if outcome == "passed" and look % 5 == 0:
                return True
        return False

    promoted = sum(all(step() for _ in range(4)) for _ in range(500)) / 500
    assert least <= promoted <= most
