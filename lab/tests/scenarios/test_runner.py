"""The runner: which traffic it sends, and how it checks claims. The target is a fake."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bookinfo_client.send import Result
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios import runner as running
from bookinfo_lab.scenarios.claims import CounterIncrease, Every, LogLines, Share
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.matchers import ConnectionFailed, HasStatus
from bookinfo_lab.scenarios.model import (
    Browser,
    Claim,
    Counter,
    GeneratedManifest,
    LogPattern,
    Mesh,
    Observation,
    ScaledDeployment,
    Scenario,
    Step,
    Traffic,
)
from bookinfo_lab.scenarios.runner import ClaimResult, Runner
from bookinfo_lab.scenarios.target import NotObservableError

GET = Traffic(Browser(), "/", count=2)
COUNTER = Counter("client", "requests")
LOG = LogPattern("client", "GET")


def manifest(name: str) -> str:
    """An object whose name contains the status of the fake target while it is the last object applied."""
    return f"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: status-{name}\n"


class FakeTarget:
    """Responds with the status in the name of the last object, or with 200, and records what the runner does."""

    def __init__(self) -> None:
        self.mesh = Mesh.SIDECAR
        self.propagation_seconds = 0.0
        self.states: list[list[str]] = []
        self.removed: list[set[Key]] = []
        self.sent: list[Traffic] = []
        self.observable = True
        self.error = ""  # the reason for missing responses
        self.managed_elsewhere = ""
        self.delay = 0  # how many requests a change takes to be in effect
        self.changed: list[str] = []
        self.since = 0

    def set_state(self, documents: Sequence[Document], removed: Collection[Key] = ()) -> None:
        if self.managed_elsewhere in {document.name for document in documents}:
            raise NotObservableError("managed by another tool")
        self.states.append([document.name for document in documents])
        self.removed.append(set(removed))

    def send(self, traffic: Traffic) -> list[Result]:
        self.sent.append(traffic)
        if self.states[-1] is not self.changed:
            self.changed, self.since = self.states[-1], len(self.sent)
        in_effect = len(self.sent) - self.since >= self.delay or len(self.states) == 1
        names = self.states[-1 if in_effect else -2]
        status = int(names[-1].rpartition("-")[2]) if names else 200
        return [Result(0 if self.error else status, 0.1, {}, "", self.error)] * traffic.count

    def count(self, counter: Counter) -> int:
        if not self.observable:
            raise NotObservableError("no counters here")
        return 10 if counter.gauge else 3 * len(self.sent)

    def log_mark(self, log: LogPattern) -> object:
        return len(self.sent)

    def log_lines(self, log: LogPattern, mark: object) -> int:
        return len(self.sent) - int(str(mark))

    def restore(self) -> None:
        """Restore nothing."""


@pytest.fixture
def target() -> FakeTarget:
    return FakeTarget()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "OBSERVATION_TIMEOUT_SECONDS", 0.0)
    monkeypatch.setattr(running, "LOG_FLUSH_SECONDS", 0.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for status in (200, 403, 503):
        (tmp_path / f"{status}.yaml").write_text(manifest(str(status)))
    return tmp_path


def scenario(*steps: Step, setup: tuple[str, ...] = ()) -> Scenario:
    return Scenario(name="lesson", title="Lesson", teaches="", text="", steps=steps, setup=setup)


def step(status: int, *observations: Observation) -> Step:
    return Step(title=str(status), text="", observations=observations, apply=(f"{status}.yaml",))


def verify(target: FakeTarget, home: Path, scenario: Scenario) -> list[ClaimResult]:
    return Runner(target, Manifests(home), lambda _: None).verify(scenario)


def one(results: list[ClaimResult]) -> ClaimResult:
    (row,) = results
    return row


def test_effect_that_is_observed_only_with_the_rule_passes(target: FakeTarget, home: Path) -> None:
    row = one(verify(target, home, scenario(step(503, Observation(GET, effects=(Every(HasStatus(503)),))))))
    assert (row.outcome, row.observed, row.observed_without_rule) == ("passed", "503: 2", "200: 2")
    assert not row.failed


def test_effect_that_is_not_observed_fails(target: FakeTarget, home: Path) -> None:
    row = one(verify(target, home, scenario(step(503, Observation(GET, effects=(Every(HasStatus(403)),))))))
    assert row.outcome == "failed"
    assert row.failed


def test_effect_that_is_observed_without_the_rule_is_a_failure(target: FakeTarget, home: Path) -> None:
    row = one(verify(target, home, scenario(step(200, Observation(GET, effects=(Every(HasStatus(200)),))))))
    assert row.outcome == "passed without the rule"
    assert row.failed


def test_invariant_is_checked_only_with_the_rule(target: FakeTarget, home: Path) -> None:
    row = one(verify(target, home, scenario(step(200, Observation(GET, invariants=(Every(HasStatus(200)),))))))
    assert (row.outcome, row.observed_without_rule) == ("passed", "")
    assert len(target.sent) == 1


def test_effect_is_compared_with_the_previous_step(target: FakeTarget, home: Path) -> None:
    same = Observation(GET, effects=(Every(HasStatus(503)),))
    results = verify(target, home, scenario(step(503, same), step(503, same)))
    assert [row.outcome for row in results] == ["passed", "passed without the rule"]


def test_effect_can_be_compared_with_the_baseline(target: FakeTarget, home: Path) -> None:
    same = Observation(GET, effects=(Every(HasStatus(503)),), contrast_with="baseline")
    results = verify(target, home, scenario(step(503, same), step(503, same)))
    assert [row.outcome for row in results] == ["passed", "passed"]


def test_sample_of_the_previous_step_is_reused(target: FakeTarget, home: Path) -> None:
    lesson = scenario(
        step(503, Observation(GET, effects=(Every(HasStatus(503)),))),
        step(403, Observation(GET, effects=(Every(HasStatus(403)),))),
    )
    assert [row.outcome for row in verify(target, home, lesson)] == ["passed", "passed"]
    assert len(target.sent) == 3  # the baseline, and once for each step


def test_steps_apply_and_delete_relative_to_the_setup(target: FakeTarget, home: Path) -> None:
    lesson = scenario(
        step(503),
        Step(title="", text="", observations=(), apply=("403.yaml",), delete=("503.yaml",)),
        setup=("200.yaml",),
    )
    verify(target, home, lesson)
    assert target.states == [
        ["status-200"],
        ["status-200", "status-503"],
        ["status-200", "status-403"],
    ]


def test_baseline_can_remove_initial_objects(target: FakeTarget, home: Path) -> None:
    lesson = Scenario("lesson", "", "", "", (step(503),), removed=("503.yaml",))
    verify(target, home, lesson)
    (document,) = Manifests(home).documents(["503.yaml"])
    assert target.removed == [{key(document)}, set()]


@pytest.mark.parametrize(
    ("claim", "observed"),
    [
        (CounterIncrease(COUNTER, "requests", 3, 3), "3"),
        (CounterIncrease(Counter("client", "level", gauge=True), "level", 10, 10), "10"),
        (LogLines(LOG, "requests", 1, 1), "1 lines for 2 requests"),
    ],
)
def test_counters_and_logs_are_read_before_and_after_the_traffic(
    target: FakeTarget, home: Path, claim: Claim, observed: str
) -> None:
    row = one(verify(target, home, scenario(step(503, Observation(GET, invariants=(claim,))))))
    assert (row.outcome, row.observed) == ("passed", observed)


def test_unobservable_claim_is_not_checked(target: FakeTarget, home: Path) -> None:
    target.observable = False
    row = one(
        verify(target, home, scenario(step(503, Observation(GET, invariants=(CounterIncrease(COUNTER, "requests"),)))))
    )
    assert (row.outcome, row.observed) == ("not checked", "no counters here")


def test_name_resolution_error_fails_the_claim(target: FakeTarget, home: Path) -> None:
    target.error = "URLError: <urlopen error [Errno -2] Name or service not known>"
    row = one(verify(target, home, scenario(step(503, Observation(GET, effects=(Every(HasStatus(503)),))))))
    assert row.outcome == "failed"
    assert target.error in row.observed


def test_refused_connection_can_be_claimed(target: FakeTarget, home: Path) -> None:
    target.error = "URLError: <urlopen error [Errno 111] Connection refused>"
    row = one(verify(target, home, scenario(step(503, Observation(GET, invariants=(Every(ConnectionFailed()),))))))
    assert row.outcome == "passed"


def test_object_of_another_tool_leaves_the_remaining_steps_unchecked(target: FakeTarget, home: Path) -> None:
    lesson = scenario(
        step(503, Observation(GET, effects=(Every(HasStatus(503)),))),
        step(403, Observation(GET, effects=(Every(HasStatus(403)),))),
        step(200, Observation(GET, effects=(Every(HasStatus(200)),))),
    )
    target.managed_elsewhere = "status-403"
    results = verify(target, home, lesson)
    assert [row.outcome for row in results] == ["passed", "not checked", "not checked"]
    assert results[-1].observed == "managed by another tool"


def test_show_checks_one_step_and_keeps_its_state(target: FakeTarget, home: Path) -> None:
    lesson = scenario(step(503), step(403, Observation(GET, effects=(Every(HasStatus(403)),))))
    results = Runner(target, Manifests(home), lambda _: None).show(lesson, 2)
    assert [row.outcome for row in results] == ["passed"]
    assert target.states == [["status-503", "status-403"]]
    assert len(target.sent) == 1


def test_claim_is_retried_until_the_rule_is_in_effect(target: FakeTarget, home: Path) -> None:
    target.propagation_seconds, target.delay = 1.0, 3
    row = one(verify(target, home, scenario(step(503, Observation(GET, effects=(Every(HasStatus(503)),))))))
    assert (row.outcome, row.observed) == ("passed", "503: 2 (try 4)")


def test_claim_fails_if_the_rule_is_not_in_effect_in_time(target: FakeTarget, home: Path) -> None:
    target.propagation_seconds, target.delay = 0.2, 1000
    row = one(verify(target, home, scenario(step(503, Observation(GET, effects=(Every(HasStatus(503)),))))))
    assert (row.outcome, row.observed.partition(" (")[0]) == ("failed", "200: 2")


def test_contrast_is_retried_until_the_previous_rule_is_gone(target: FakeTarget, home: Path) -> None:
    target.propagation_seconds, target.delay = 1.0, 3
    lesson = scenario(step(503, Observation(GET, effects=(Every(HasStatus(503)),))))
    runner = Runner(target, Manifests(home), lambda _: None)
    assert [row.outcome for _ in range(2) for row in runner.verify(lesson)] == ["passed", "passed"]


def test_false_alarm_probability_counts_every_try(target: FakeTarget, home: Path) -> None:
    target.propagation_seconds, target.delay = 1.0, 3
    claim = Share(HasStatus(503), 99, percent_without_rule=0)
    row = one(verify(target, home, scenario(step(503, Observation(replace(GET, count=200), effects=(claim,))))))
    assert row.false_alarm_probability == 4 * claim.false_alarm_probability(200) > 0


@pytest.mark.parametrize("mesh", [Mesh.NONE, Mesh.L4])
def test_scenario_without_its_mesh_is_not_checked_and_changes_nothing(
    target: FakeTarget, home: Path, mesh: Mesh
) -> None:
    target.mesh = mesh
    row = one(verify(target, home, scenario(step(503, Observation(GET, effects=(Every(HasStatus(503)),))))))
    assert (row.outcome, row.observed) == (
        "not checked",
        f"requires sidecars or ambient mode with a waypoint; this target has {mesh}",
    )
    assert target.states == []


def test_unobservable_counter_does_not_prevent_response_claims(target: FakeTarget, home: Path) -> None:
    target.observable = False
    both = Observation(GET, effects=(Every(HasStatus(503)), CounterIncrease(COUNTER, "requests")))
    assert [row.outcome for row in verify(target, home, scenario(step(503, both)))] == ["passed", "not checked"]


def test_token_is_sent_in_the_authorization_header(target: FakeTarget, home: Path) -> None:
    (home / "reader.jwt").write_text("abc.def\n")
    traffic = Traffic(Browser(), "/", token="reader.jwt")
    verify(target, home, scenario(step(503, Observation(traffic, invariants=(Every(HasStatus(503)),)))))
    assert target.sent[0].headers == (("authorization", "Bearer abc.def"),)


def test_generated_manifest_is_generated_once(target: FakeTarget, home: Path) -> None:
    calls: list[str] = []

    def generate() -> str:
        calls.append("one")
        return manifest("403")

    lesson = Scenario(
        "lesson", "", "", "", (step(503), step(200)), setup=("200.yaml", GeneratedManifest("generate", generate))
    )
    verify(target, home, lesson)
    assert calls == ["one"]


def test_scaled_deployment_has_the_given_replicas() -> None:
    home = Path(__file__).parents[3]
    (document,) = Manifests(home).documents([ScaledDeployment("ratings-v1", 0)])
    assert (document.kind, document.name, document.body["spec"]["replicas"]) == ("Deployment", "ratings-v1", 0)
