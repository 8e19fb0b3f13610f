"""Running scenarios: what is sent when, and what is judged how. The target is made of Python."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bookinfo_client.send import Result
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios import runner as running
from bookinfo_lab.scenarios.claims import Counts, Every, Logs, Share
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.matchers import Answered, Unanswered
from bookinfo_lab.scenarios.model import (
    Browser,
    Claim,
    Counter,
    Generated,
    Log,
    Mesh,
    Observation,
    Scaled,
    Scenario,
    Step,
    Traffic,
)
from bookinfo_lab.scenarios.runner import Judged, Runner
from bookinfo_lab.scenarios.target import NotObservableError

GET = Traffic(Browser(), "/", count=2)
COUNTER = Counter("client", "requests")
LOG = Log("client", "GET")


def manifest(name: str) -> str:
    """An object whose name tells the status that the target answers with while it is the last one applied."""
    return f"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: answer-{name}\n"


class Target:
    """Answers with the status that the last applied object names, 200 without one, and remembers what it was asked."""

    def __init__(self) -> None:
        self.mesh = Mesh.SIDECAR
        self.settle = 0.0
        self.states: list[list[str]] = []
        self.withouts: list[set[Key]] = []
        self.sent: list[Traffic] = []
        self.observable = True
        self.error = ""  # why there are no answers
        self.untouchable = ""
        self.slow = 0  # so often the traffic is answered as before a change
        self.changed: list[str] = []
        self.since = 0

    def bring(self, documents: Sequence[Document], without: Collection[Key] = ()) -> None:
        if self.untouchable in {document.name for document in documents}:
            raise NotObservableError("somebody else's")
        self.states.append([document.name for document in documents])
        self.withouts.append(set(without))

    def send(self, traffic: Traffic) -> list[Result]:
        self.sent.append(traffic)
        if self.states[-1] is not self.changed:
            self.changed, self.since = self.states[-1], len(self.sent)
        in_effect = len(self.sent) - self.since >= self.slow or len(self.states) == 1
        names = self.states[-1 if in_effect else -2]
        status = int(names[-1].rpartition("-")[2]) if names else 200
        return [Result(0 if self.error else status, 0.1, {}, "", self.error)] * traffic.count

    def count(self, counter: Counter) -> int:
        if not self.observable:
            raise NotObservableError("nobody counts here")
        return 10 if counter.gauge else 3 * len(self.sent)

    def log_mark(self, log: Log) -> object:
        return len(self.sent)

    def log_lines(self, log: Log, mark: object) -> int:
        return len(self.sent) - int(str(mark))

    def restore(self) -> None:
        """Nothing was changed."""


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PATIENCE", 0.0)
    monkeypatch.setattr(running, "LOG_FLUSH", 0.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for status in (200, 403, 503):
        (tmp_path / f"{status}.yaml").write_text(manifest(str(status)))
    return tmp_path


def scenario(*steps: Step, given: tuple[str, ...] = ()) -> Scenario:
    return Scenario(name="lesson", title="Lesson", teaches="", text="", steps=steps, given=given)


def step(status: int, *observations: Observation) -> Step:
    return Step(title=str(status), text="", observations=observations, apply=(f"{status}.yaml",))


def verify(target: Target, home: Path, scenario: Scenario) -> list[Judged]:
    return Runner(target, Manifests(home), lambda _: None).verify(scenario)


def one(judged: list[Judged]) -> Judged:
    (row,) = judged
    return row


def test_a_claim_that_holds_with_its_rule_only_is_proved(target: Target, home: Path) -> None:
    row = one(verify(target, home, scenario(step(503, Observation(GET, shows=(Every(Answered(503)),))))))
    assert (row.outcome, row.seen, row.without) == ("holds", "503: 2", "200: 2")
    assert not row.bad


def test_a_claim_that_does_not_hold_fails(target: Target, home: Path) -> None:
    row = one(verify(target, home, scenario(step(503, Observation(GET, shows=(Every(Answered(403)),))))))
    assert row.outcome == "fails"
    assert row.bad


def test_a_claim_that_holds_without_its_rule_as_well_proves_nothing(target: Target, home: Path) -> None:
    row = one(verify(target, home, scenario(step(200, Observation(GET, shows=(Every(Answered(200)),))))))
    assert row.outcome == "holds without its rule"
    assert row.bad


def test_an_invariant_is_judged_with_the_rule_alone(target: Target, home: Path) -> None:
    row = one(verify(target, home, scenario(step(200, Observation(GET, keeps=(Every(Answered(200)),))))))
    assert (row.outcome, row.without) == ("holds", "")
    assert len(target.sent) == 1


def test_a_claim_is_held_against_the_step_before(target: Target, home: Path) -> None:
    same = Observation(GET, shows=(Every(Answered(503)),))
    judged = verify(target, home, scenario(step(503, same), step(503, same)))
    assert [row.outcome for row in judged] == ["holds", "holds without its rule"]


def test_a_claim_can_be_held_against_the_baseline(target: Target, home: Path) -> None:
    same = Observation(GET, shows=(Every(Answered(503)),), against="baseline")
    judged = verify(target, home, scenario(step(503, same), step(503, same)))
    assert [row.outcome for row in judged] == ["holds", "holds"]


def test_traffic_that_the_step_before_has_sent_is_not_sent_again(target: Target, home: Path) -> None:
    lesson = scenario(
        step(503, Observation(GET, shows=(Every(Answered(503)),))),
        step(403, Observation(GET, shows=(Every(Answered(403)),))),
    )
    assert [row.outcome for row in verify(target, home, lesson)] == ["holds", "holds"]
    assert len(target.sent) == 3  # the baseline, and once for each step


def test_steps_add_to_what_was_given_and_take_away(target: Target, home: Path) -> None:
    lesson = scenario(
        step(503),
        Step(title="", text="", observations=(), apply=("403.yaml",), delete=("503.yaml",)),
        given=("200.yaml",),
    )
    verify(target, home, lesson)
    assert target.states == [
        ["answer-200"],
        ["answer-200", "answer-503"],
        ["answer-200", "answer-403"],
    ]


def test_the_baseline_can_lack_what_a_lab_starts_with(target: Target, home: Path) -> None:
    lesson = Scenario("lesson", "", "", "", (step(503),), without=("503.yaml",))
    verify(target, home, lesson)
    (document,) = Manifests(home).documents(["503.yaml"])
    assert target.withouts == [{key(document)}, set()]


@pytest.mark.parametrize(
    ("claim", "seen"),
    [
        (Counts(COUNTER, "requests", 3, 3), "3"),
        (Counts(Counter("client", "level", gauge=True), "level", 10, 10), "10"),
        (Logs(LOG, "requests", 1, 1), "1 lines for 2 requests"),
    ],
)
def test_counters_and_logs_are_read_around_the_traffic(target: Target, home: Path, claim: Claim, seen: str) -> None:
    row = one(verify(target, home, scenario(step(503, Observation(GET, keeps=(claim,))))))
    assert (row.outcome, row.seen) == ("holds", seen)


def test_what_cannot_be_seen_is_not_checked_rather_than_passed(target: Target, home: Path) -> None:
    target.observable = False
    row = one(verify(target, home, scenario(step(503, Observation(GET, keeps=(Counts(COUNTER, "requests"),))))))
    assert (row.outcome, row.seen) == ("not checked", "nobody counts here")


def test_a_name_that_the_callers_dns_does_not_know_proves_nothing_of_a_rule(target: Target, home: Path) -> None:
    target.error = "URLError: <urlopen error [Errno -2] Name or service not known>"
    row = one(verify(target, home, scenario(step(503, Observation(GET, shows=(Every(Answered(503)),))))))
    assert row.outcome == "fails"
    assert target.error in row.seen


def test_a_connection_that_is_refused_is_an_answer_of_the_mesh(target: Target, home: Path) -> None:
    target.error = "URLError: <urlopen error [Errno 111] Connection refused>"
    row = one(verify(target, home, scenario(step(503, Observation(GET, keeps=(Every(Unanswered()),))))))
    assert row.outcome == "holds"


def test_what_must_not_be_touched_leaves_the_steps_from_there_on_unchecked(target: Target, home: Path) -> None:
    lesson = scenario(
        step(503, Observation(GET, shows=(Every(Answered(503)),))),
        step(403, Observation(GET, shows=(Every(Answered(403)),))),
        step(200, Observation(GET, shows=(Every(Answered(200)),))),
    )
    target.untouchable = "answer-403"
    judged = verify(target, home, lesson)
    assert [row.outcome for row in judged] == ["holds", "not checked", "not checked"]
    assert judged[-1].seen == "somebody else's"


def test_a_step_can_be_shown_by_itself(target: Target, home: Path) -> None:
    lesson = scenario(step(503), step(403, Observation(GET, shows=(Every(Answered(403)),))))
    judged = Runner(target, Manifests(home), lambda _: None).show(lesson, 2)
    assert [row.outcome for row in judged] == ["holds"]
    assert target.states == [["answer-503", "answer-403"]]
    assert len(target.sent) == 1


def test_a_rule_has_time_to_take_effect(target: Target, home: Path) -> None:
    target.settle, target.slow = 1.0, 3
    row = one(verify(target, home, scenario(step(503, Observation(GET, shows=(Every(Answered(503)),))))))
    assert (row.outcome, row.seen) == ("holds", "503: 2 (try 4)")


def test_a_rule_that_does_not_take_effect_in_time_fails(target: Target, home: Path) -> None:
    target.settle, target.slow = 0.2, 1000
    row = one(verify(target, home, scenario(step(503, Observation(GET, shows=(Every(Answered(503)),))))))
    assert (row.outcome, row.seen.partition(" (")[0]) == ("fails", "200: 2")


def test_the_rule_before_has_time_to_go(target: Target, home: Path) -> None:
    target.settle, target.slow = 1.0, 3
    lesson = scenario(step(503, Observation(GET, shows=(Every(Answered(503)),))))
    runner = Runner(target, Manifests(home), lambda _: None)
    assert [row.outcome for _ in range(2) for row in runner.verify(lesson)] == ["holds", "holds"]


def test_every_try_may_be_a_false_alarm(target: Target, home: Path) -> None:
    target.settle, target.slow = 1.0, 3
    claim = Share(Answered(503), 99, otherwise=0)
    row = one(verify(target, home, scenario(step(503, Observation(replace(GET, count=200), shows=(claim,))))))
    assert row.false_alarm == 4 * claim.false_alarm(200) > 0


@pytest.mark.parametrize("mesh", [Mesh.NONE, Mesh.L4])
def test_without_the_mesh_that_it_takes_a_scenario_is_not_checked_and_touches_nothing(
    target: Target, home: Path, mesh: Mesh
) -> None:
    target.mesh = mesh
    row = one(verify(target, home, scenario(step(503, Observation(GET, shows=(Every(Answered(503)),))))))
    assert (row.outcome, row.seen) == (
        "not checked",
        f"it takes sidecars or ambient mode with a waypoint; here there is {mesh}",
    )
    assert target.states == []


def test_what_cannot_be_counted_does_not_keep_the_answers_from_being_judged(target: Target, home: Path) -> None:
    target.observable = False
    both = Observation(GET, shows=(Every(Answered(503)), Counts(COUNTER, "requests")))
    assert [row.outcome for row in verify(target, home, scenario(step(503, both)))] == ["holds", "not checked"]


def test_a_token_is_sent_as_a_header(target: Target, home: Path) -> None:
    (home / "reader.jwt").write_text("abc.def\n")
    traffic = Traffic(Browser(), "/", token="reader.jwt")
    verify(target, home, scenario(step(503, Observation(traffic, keeps=(Every(Answered(503)),)))))
    assert target.sent[0].headers == (("authorization", "Bearer abc.def"),)


def test_what_is_generated_is_made_once(target: Target, home: Path) -> None:
    made: list[str] = []

    def make() -> str:
        made.append("one")
        return manifest("403")

    lesson = Scenario("lesson", "", "", "", (step(503), step(200)), given=("200.yaml", Generated("make", make)))
    verify(target, home, lesson)
    assert made == ["one"]


def test_a_deployment_of_the_lab_can_be_scaled() -> None:
    home = Path(__file__).parents[3]
    (document,) = Manifests(home).documents([Scaled("ratings-v1", 0)])
    assert (document.kind, document.name, document.body["spec"]["replicas"]) == ("Deployment", "ratings-v1", 0)
