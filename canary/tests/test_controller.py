"""Whole releases, with simulated counters and a simulated clock."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from canary.tests.conftest import counters_of

from bookinfo_canary.controller import ReleaseController
from bookinfo_canary.errors import CanaryError, RejectedError, RollbackFailedError, StoppedError
from bookinfo_canary.events import Event, Promoted, RolledBack, StepEvaluated, as_json, as_text
from bookinfo_canary.metrics import Snapshot
from bookinfo_canary.release_plan import Criteria, ReleasePlan, Versions
from bookinfo_canary.route_owner import RouteOwner
from bookinfo_canary.routes import Json, RouteKind, VirtualService
from bookinfo_canary.stop_signals import StopSignals

Codes = Mapping[str, float]


@dataclass
class Simulation:
    """A service with `rate` requests per second, and a clock that advances only while the controller waits."""

    rate: float = 20.0
    canary_codes: Codes = field(default_factory=lambda: {"200": 1.0})
    canary_milliseconds: float = 8.0
    metrics_fail_at: Callable[[float], bool] = lambda _: False
    stop_at: float = float("inf")
    time: float = 0.0
    counts: dict[str, dict[str, float]] = field(default_factory=lambda: {"v1": {}, "v2": {}})
    applied_weights: list[dict[str, int]] = field(default_factory=list)
    route: Json | None = None
    rejects: Callable[[dict[str, int]], bool] = lambda _: False

    # StopSignals
    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.sleep(min(seconds, max(0.0, self.stop_at - self.time)))
        if self.time >= self.stop_at:
            raise StoppedError("it was stopped by SIGTERM")

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        share = self.applied_weights[-1] if self.applied_weights else {"v1": 100}
        for version, weight in share.items():
            for code, part in (self.canary_codes if version == "v2" else {"200": 1.0}).items():
                counts = self.counts[version]
                counts[code] = counts.get(code, 0.0) + self.rate * seconds * weight / 100 * part

    # MetricsSource
    def read(self) -> Snapshot:
        if self.metrics_fail_at(self.time):
            raise CanaryError("cannot read the metrics")

        def rounded(version: str) -> dict[str, int]:
            return {code: round(count) for code, count in self.counts[version].items()}

        return {**counters_of("v1", rounded("v1")), **counters_of("v2", rounded("v2"), self.canary_milliseconds)}

    # Target
    def get(self, resource: str, name: str) -> Json | None:
        return self.route

    def list(self, resource: str) -> Sequence[Json]:
        return [{"spec": {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}]}}]

    def apply(self, manifest: Json, *, take_over: bool = False) -> None:
        weights = {entry["destination"]["subset"]: entry["weight"] for entry in manifest["spec"]["http"][0]["route"]}
        if self.rejects(weights):
            raise CanaryError("the API server does not respond")
        self.route = manifest
        self.applied_weights.append(weights)

    def other_managers(self, existing: Json, kind: RouteKind) -> Sequence[str]:
        return []


@pytest.fixture
def release(versions: Versions, criteria: Criteria) -> Callable[..., tuple[bool, list[Event]]]:
    def run(simulation: Simulation, **changes: Any) -> tuple[bool, list[Event]]:
        plan = replace(ReleasePlan(versions, (10, 25, 50, 100), criteria, 60.0, 300.0, 15.0), **changes)
        events: list[Event] = []
        clock: StopSignals = simulation  # type: ignore[assignment]
        route = RouteOwner(simulation, VirtualService(), versions.service, take_over=False)
        return ReleaseController(plan, route, simulation, clock, events.append).run(), events

    return run


def rollback_reason(events: list[Event]) -> str:
    (event,) = [event for event in events if isinstance(event, RolledBack)]
    return event.reason


def test_good_canary_passes_all_steps(release) -> None:
    simulation = Simulation()
    promoted, events = release(simulation)
    assert promoted
    assert simulation.applied_weights == [{"v1": 90, "v2": 10}, {"v1": 75, "v2": 25}, {"v1": 50, "v2": 50}, {"v2": 100}]
    assert simulation.time == pytest.approx(4 * (15 + 60))
    assert isinstance(events[-1], Promoted)


def test_failing_canary_is_rolled_back_before_its_first_window_ends(release) -> None:
    simulation = Simulation(rate=100, canary_codes={"200": 0.7, "503": 0.3})
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights == [{"v1": 90, "v2": 10}, {"v1": 100}]
    assert simulation.time < 15 + 60
    assert "requests to v2 succeeded (minimum 99.0 %" in rollback_reason(events)


def test_slow_canary_is_rolled_back_at_the_first_step(release) -> None:
    simulation = Simulation(canary_milliseconds=400)
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights[-1] == {"v1": 100}
    assert "p99 of v2 is" in rollback_reason(events)


def test_canary_without_requests_is_rolled_back_at_the_limit(release) -> None:
    simulation = Simulation(rate=0)
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights == [{"v1": 90, "v2": 10}, {"v1": 100}]
    assert simulation.time == pytest.approx(15 + 300)
    assert rollback_reason(events) == "it was undecided after 300 s: v2 had 0 of the 100 requests that are required"
    assert len([event for event in events if isinstance(event, StepEvaluated)]) == 5


def test_few_requests_take_more_windows(release) -> None:
    """The canary receives one request per second, so one window of 60 s has too few."""
    simulation = Simulation(rate=10)
    promoted, events = release(simulation)
    assert promoted
    outcomes = [event.decision.outcome for event in events if isinstance(event, StepEvaluated) and event.weight == 10]
    assert outcomes == ["undecided", "passed"]


def test_last_step_is_compared_with_the_earlier_steps(release) -> None:
    promoted, events = release(Simulation())
    assert promoted
    last = [event for event in events if isinstance(event, StepEvaluated)][-1]
    assert last.observed.stable.requests == 0
    assert "v1: 10 ms)" in last.decision.reason


def test_fault_in_a_later_step_is_rolled_back(release) -> None:
    class FailingUnderLoad(Simulation):
        def sleep(self, seconds: float) -> None:
            if self.applied_weights and self.applied_weights[-1].get("v2", 0) >= 50:
                self.canary_codes = {"200": 0.5, "500": 0.5}
            super().sleep(seconds)

    simulation = FailingUnderLoad()
    promoted, _ = release(simulation)
    assert not promoted
    assert [weights.get("v2", 0) for weights in simulation.applied_weights] == [10, 25, 50, 0]


@pytest.mark.parametrize("seconds", [3, 40, 100, 299])
def test_stop_at_any_time_restores_the_stable_route(release, seconds: float) -> None:
    simulation = Simulation(stop_at=seconds)
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights[-1] == {"v1": 100}
    assert rollback_reason(events) == "it was stopped by SIGTERM"


def test_stop_before_the_first_weight_changes_nothing(release) -> None:
    simulation = Simulation(stop_at=0)
    with pytest.raises(StoppedError):
        release(simulation)
    assert simulation.applied_weights == []


def test_unreadable_metrics_at_the_start_change_nothing(release) -> None:
    simulation = Simulation(metrics_fail_at=lambda _: True)
    with pytest.raises(CanaryError, match="cannot read the metrics"):
        release(simulation)
    assert simulation.applied_weights == []


def test_reading_the_metrics_is_retried(release) -> None:
    promoted, _ = release(Simulation(metrics_fail_at=lambda time: 30 <= time < 31))
    assert promoted


def test_unreadable_metrics_roll_back(release) -> None:
    simulation = Simulation(metrics_fail_at=lambda time: time >= 30)
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights[-1] == {"v1": 100}
    assert rollback_reason(events) == "cannot read the metrics"


def test_change_of_the_route_by_another_client_rolls_back(release) -> None:
    class ChangedByAnotherClient(Simulation):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.time > 50 and len(self.applied_weights) == 1 and self.route:
                self.route["spec"]["http"][0]["route"][0]["weight"] = 42

    simulation = ChangedByAnotherClient()
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights[-1] == {"v1": 100}
    assert rollback_reason(events) == "another client changed the route of reviews to v1 42 %, v2 10 %"


def test_step_that_the_target_rejects_rolls_back(release) -> None:
    simulation = Simulation(rejects=lambda weights: weights.get("v2") == 25)
    promoted, events = release(simulation)
    assert not promoted
    assert simulation.applied_weights[-1] == {"v1": 100}
    assert rollback_reason(events) == "the API server does not respond"


def test_unexpected_error_rolls_back(release) -> None:
    class UnexpectedError(Simulation):
        def read(self) -> Snapshot:
            if self.time > 30:
                raise ZeroDivisionError
            return super().read()

    simulation = UnexpectedError()
    with pytest.raises(ZeroDivisionError):
        release(simulation)
    assert simulation.applied_weights[-1] == {"v1": 100}


def test_failed_rollback_is_reported(release) -> None:
    simulation = Simulation(canary_codes={"503": 1.0}, rejects=lambda weights: weights == {"v1": 100})
    with pytest.raises(RollbackFailedError, match="the API server does not respond"):
        release(simulation)


def test_every_event_has_a_text_and_a_json_form(release) -> None:
    _, events = release(Simulation())
    lines = [as_text(event) for event in events]
    assert lines[0] == "reviews: from v1 to v2 in steps of 10, 25, 50, 100 percent"
    assert lines[1] == "reviews: v1 90 %, v2 10 %"
    table = lines[2].splitlines()
    assert table[0].split() == ["requests", "succeeded", "99", "%", "interval", "p50", "p99"]
    assert table[2].split()[:4] == ["v2", "120", "100.0", "%"]
    assert table[3].startswith("  passed: 100.0 % of 120 requests to v2 succeeded")
    assert lines[-1] == "promoted: v2 receives every request to reviews"
    assert [json.loads(as_json(event))["event"] for event in events[:3]] == ["started", "weights set", "step evaluated"]
    assert json.loads(as_json(events[-1]))["event"] == "promoted"
    assert '"canary": {"requests": 120, "failures": 0, "p99": 9.9}' in as_json(events[2])
    _, events = release(Simulation(canary_codes={"503": 1.0}))
    assert as_text(events[-1]).startswith("rolled back: v1 receives every request to reviews, because 0.0 % of ")
    assert '"event": "rolled back"' in as_json(events[-1])
    assert '"p99": null' in as_json(events[-2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (10, 50)}, "end with 100"),
        ({"steps": (50, 10, 100)}, "rising"),
        ({"steps": (0, 100)}, "rising"),
        ({"steps": (100,)}, "nothing to compare with"),
        ({"limit_seconds": 30.0}, "--limit is shorter than --window"),
        ({"window_seconds": 0.0}, "--window: use more than 0"),
    ],
)
def test_invalid_plan_is_rejected(release, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        release(Simulation(), **changes)
