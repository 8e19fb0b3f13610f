"""Claims about samples."""

import pytest

from bookinfo_client.send import Result
from bookinfo_lab.scenarios.claims import (
    UNBOUNDED,
    CounterIncrease,
    CounterMatches,
    Every,
    LogLines,
    NoneOf,
    Share,
    ShareBetween,
    StatusSequence,
)
from bookinfo_lab.scenarios.matchers import AllOf, ConnectionFailed, Contains, HasHeader, HasStatus, ServedBy, Takes
from bookinfo_lab.scenarios.model import Claim, Counter, LogPattern, Sample

COUNTER = Counter("client", "requests")
LOG = LogPattern("client", "GET")


def result(status: int = 200, seconds: float = 0.1, body: str = "", error: str = "", **headers: str) -> Result:
    return Result(status, seconds, headers, body, error)


def sample(*results: Result, counter_increases: int = 0, log_line_counts: int = 0) -> Sample:
    return Sample(results, {COUNTER: counter_increases}, {LOG: log_line_counts})


OK, UNAVAILABLE = result(200), result(503)


@pytest.mark.parametrize(
    ("claim", "passing", "failing"),
    [
        (Every(HasStatus(200)), sample(OK, OK), sample(OK, UNAVAILABLE)),
        (NoneOf(HasStatus(503)), sample(OK, OK), sample(OK, UNAVAILABLE)),
        (Every(ConnectionFailed()), sample(result(0, error="refused")), sample(OK)),
        (Every(Contains("stars")), sample(result(body="red stars")), sample(result(body="none"))),
        (Every(ServedBy("reviews-v1")), sample(result(body="reviews-v1-abc")), sample(result(body="reviews-v12-abc"))),
        (Every(Takes(1, 2)), sample(result(seconds=1.5)), sample(result(seconds=2.5))),
        (Every(Takes(1)), sample(result(seconds=60)), sample(result(seconds=0.5))),
        (Every(HasHeader("a", "1")), sample(result(a="1")), sample(result(a="2"))),
        (Every(AllOf(HasStatus(503), HasHeader("a", "1"))), sample(result(503, a="1")), sample(result(503))),
        (StatusSequence((200, 503)), sample(OK, UNAVAILABLE), sample(UNAVAILABLE, OK)),
        (ShareBetween(HasStatus(503), 10, 60), sample(OK, UNAVAILABLE), sample(OK, OK)),
        (ShareBetween(HasStatus(503), 0, 40), sample(OK, OK), sample(OK, UNAVAILABLE)),
        (Share(HasStatus(503), 50, percent_without_rule=0), sample(*[OK, UNAVAILABLE] * 50), sample(*[OK] * 100)),
        (
            Share(HasStatus(503), 50, percent_without_rule=100),
            sample(*[OK, UNAVAILABLE] * 50),
            sample(*[UNAVAILABLE] * 100),
        ),
        (CounterIncrease(COUNTER, "requests"), sample(OK, counter_increases=1), sample(OK, counter_increases=0)),
        (
            CounterIncrease(COUNTER, "requests", None, None),
            sample(OK, OK, counter_increases=2),
            sample(OK, OK, counter_increases=3),
        ),
        (CounterIncrease(COUNTER, "requests", 0, 0), sample(OK, counter_increases=0), sample(OK, counter_increases=1)),
        (
            CounterMatches(COUNTER, "refused", HasStatus(503)),
            sample(OK, UNAVAILABLE, counter_increases=1),
            sample(OK, UNAVAILABLE, counter_increases=2),
        ),
        (
            CounterMatches(COUNTER, "refused", HasStatus(503)),
            sample(UNAVAILABLE, counter_increases=1),
            sample(OK, counter_increases=0),
        ),
        (LogLines(LOG, "requests"), sample(OK, log_line_counts=1), sample(OK, log_line_counts=2)),
        (LogLines(LOG, "requests", 1, UNBOUNDED), sample(OK, log_line_counts=9), sample(OK, log_line_counts=0)),
    ],
)
def test_claim_passes_or_fails(claim: Claim, passing: Sample, failing: Sample) -> None:
    assert claim.check(passing).passed
    assert not claim.check(failing).passed


@pytest.mark.parametrize(
    "claim",
    [
        Every(HasStatus(200)),
        NoneOf(HasStatus(503)),
        Share(HasStatus(503), 50, percent_without_rule=0),
        ShareBetween(HasStatus(503), 0, 14),
        StatusSequence((200,)),
        CounterIncrease(COUNTER, "requests", None, None),
        CounterIncrease(COUNTER, "requests", 0, 0),
        CounterMatches(COUNTER, "refused", HasStatus(503)),
        LogLines(LOG, "requests"),
    ],
)
def test_claim_fails_without_requests(claim: Claim) -> None:
    assert not claim.check(sample()).passed


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (Every(HasStatus(200)), "all: status 200"),
        (NoneOf(Contains("stars")), "none: contains “stars”"),
        (Every(Takes(0, 2)), "all: within 2 s"),
        (Every(Takes(5.8, 8)), "all: after 5.8 to 8 s"),
        (Share(ServedBy("reviews-v2"), 10, percent_without_rule=0), "10 %: served by reviews-v2"),
        (ShareBetween(HasStatus(503), 0, 14), "at most 14 %: status 503"),
        (ShareBetween(HasStatus(503), 14, 100), "at least 14 %: status 503"),
        (ShareBetween(HasStatus(503), 14, 20), "14 to 20 %: status 503"),
        (CounterIncrease(COUNTER, "calls", None, None), "client: calls: one per request"),
        (CounterIncrease(COUNTER, "calls", 2), "client: calls: 2 or more"),
        (CounterIncrease(COUNTER, "calls", 0, 0), "client: calls: 0"),
        (CounterIncrease(COUNTER, "calls", 1, 3), "client: calls: 1 to 3"),
        (CounterIncrease(COUNTER, "calls", None), "client: calls: one per request or more"),
        (LogLines(LOG, "calls"), "client: log lines with calls: one per request"),
        (LogLines(LOG, "calls", 1, UNBOUNDED), "client: log lines with calls: 1 or more"),
        (StatusSequence((200, 429)), "statuses in this order: 200 429"),
    ],
)
def test_claim_describes_what_is_expected(claim: Claim, words: str) -> None:
    assert claim.expected == words


def test_observed_text_contains_statuses_and_the_error() -> None:
    check = Every(HasStatus(200)).check(sample(OK, OK, UNAVAILABLE, result(0, error="refused")))
    assert check.observed == "no response: 1, 200: 2, 503: 1 (refused)"


def test_false_alarm_probability_of_a_share_includes_both_errors() -> None:
    claim = Share(HasStatus(503), 10, percent_without_rule=20)
    assert claim.false_alarm_probability(100) > 0.5  # 100 requests cannot distinguish 10 % from 20 %
    assert claim.false_alarm_probability(1600) < 1e-7
