"""What claims make of samples."""

import pytest

from bookinfo_client.send import Result
from bookinfo_lab.scenarios.claims import Between, Counts, CountsEach, Every, InOrder, Logs, No, Share
from bookinfo_lab.scenarios.matchers import Answered, Both, Carrying, ServedBy, Showing, Taking, Unanswered
from bookinfo_lab.scenarios.model import Claim, Counter, Log, Sample

COUNTER = Counter("client", "requests")
LOG = Log("client", "GET")
UNBOUNDED = float("inf")


def result(status: int = 200, seconds: float = 0.1, body: str = "", error: str = "", **headers: str) -> Result:
    return Result(status, seconds, headers, body, error)


def sample(*results: Result, counted: int = 0, logged: int = 0) -> Sample:
    return Sample(results, {COUNTER: counted}, {LOG: logged})


OK, BROKEN = result(200), result(503)


@pytest.mark.parametrize(
    ("claim", "holds", "fails"),
    [
        (Every(Answered(200)), sample(OK, OK), sample(OK, BROKEN)),
        (No(Answered(503)), sample(OK, OK), sample(OK, BROKEN)),
        (Every(Unanswered()), sample(result(0, error="refused")), sample(OK)),
        (Every(Showing("stars")), sample(result(body="red stars")), sample(result(body="none"))),
        (Every(ServedBy("reviews-v1")), sample(result(body="reviews-v1-abc")), sample(result(body="reviews-v12-abc"))),
        (Every(Taking(1, 2)), sample(result(seconds=1.5)), sample(result(seconds=2.5))),
        (Every(Taking(1)), sample(result(seconds=60)), sample(result(seconds=0.5))),
        (Every(Carrying("a", "1")), sample(result(a="1")), sample(result(a="2"))),
        (Every(Both(Answered(503), Carrying("a", "1"))), sample(result(503, a="1")), sample(result(503))),
        (InOrder((200, 503)), sample(OK, BROKEN), sample(BROKEN, OK)),
        (Between(Answered(503), 10, 60), sample(OK, BROKEN), sample(OK, OK)),
        (Between(Answered(503), 0, 40), sample(OK, OK), sample(OK, BROKEN)),
        (Share(Answered(503), 50, otherwise=0), sample(*[OK, BROKEN] * 50), sample(*[OK] * 100)),
        (Share(Answered(503), 50, otherwise=100), sample(*[OK, BROKEN] * 50), sample(*[BROKEN] * 100)),
        (Counts(COUNTER, "requests"), sample(OK, counted=1), sample(OK, counted=0)),
        (Counts(COUNTER, "requests", None, None), sample(OK, OK, counted=2), sample(OK, OK, counted=3)),
        (Counts(COUNTER, "requests", 0, 0), sample(OK, counted=0), sample(OK, counted=1)),
        (CountsEach(COUNTER, "refused", Answered(503)), sample(OK, BROKEN, counted=1), sample(OK, BROKEN, counted=2)),
        (CountsEach(COUNTER, "refused", Answered(503)), sample(BROKEN, counted=1), sample(OK, counted=0)),
        (Logs(LOG, "requests"), sample(OK, logged=1), sample(OK, logged=2)),
        (Logs(LOG, "requests", 1, UNBOUNDED), sample(OK, logged=9), sample(OK, logged=0)),
    ],
)
def test_a_claim_holds_or_fails(claim: Claim, holds: Sample, fails: Sample) -> None:
    assert claim.judge(holds).holds
    assert not claim.judge(fails).holds


@pytest.mark.parametrize(
    "claim",
    [
        Every(Answered(200)),
        No(Answered(503)),
        Share(Answered(503), 50, otherwise=0),
        Between(Answered(503), 0, 14),
        InOrder((200,)),
        Counts(COUNTER, "requests", None, None),
        Counts(COUNTER, "requests", 0, 0),
        CountsEach(COUNTER, "refused", Answered(503)),
        Logs(LOG, "requests"),
    ],
)
def test_no_claim_holds_where_nothing_was_sent(claim: Claim) -> None:
    assert not claim.judge(sample()).holds


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (Every(Answered(200)), "all answered 200"),
        (No(Showing("stars")), "none showing “stars”"),
        (Every(Taking(0, 2)), "all within 2 s"),
        (Every(Taking(5.8, 8)), "all taking 5.8 to 8 s"),
        (Share(ServedBy("reviews-v2"), 10, otherwise=0), "10 % served by reviews-v2"),
        (Between(Answered(503), 0, 14), "at most 14 % answered 503"),
        (Between(Answered(503), 14, 100), "at least 14 % answered 503"),
        (Between(Answered(503), 14, 20), "14 to 20 % answered 503"),
        (Counts(COUNTER, "calls", None, None), "client: calls: one a request"),
        (Counts(COUNTER, "calls", 2), "client: calls: 2 or more"),
        (Counts(COUNTER, "calls", 0, 0), "client: calls: 0"),
        (Counts(COUNTER, "calls", 1, 3), "client: calls: 1 to 3"),
        (Counts(COUNTER, "calls", None), "client: calls: one a request or more"),
        (Logs(LOG, "calls"), "client logs calls: one a request"),
        (Logs(LOG, "calls", 1, UNBOUNDED), "client logs calls: 1 or more"),
        (InOrder((200, 429)), "answered 200 429"),
    ],
)
def test_a_claim_says_what_it_is(claim: Claim, words: str) -> None:
    assert claim.expected == words


def test_what_was_seen_names_the_statuses_and_why_there_was_no_answer() -> None:
    verdict = Every(Answered(200)).judge(sample(OK, OK, BROKEN, result(0, error="refused")))
    assert verdict.seen == "no answer: 1, 200: 2, 503: 1 (refused)"


def test_a_share_tells_how_probably_chance_misleads_it_either_way() -> None:
    claim = Share(Answered(503), 10, otherwise=20)
    assert claim.false_alarm(100) > 0.5  # 100 requests cannot tell 10 % from 20 %
    assert claim.false_alarm(1600) < 1e-7
