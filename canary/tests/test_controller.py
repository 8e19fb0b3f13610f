"""A release as a whole, against counters and a clock that the tests turn."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from canary.tests.conftest import counted

from bookinfo_canary.controller import Release
from bookinfo_canary.errors import CanaryError, NotRestoredError, RefusedError, StoppedError
from bookinfo_canary.events import Event, Judged, Promoted, RolledBack, encoded, line
from bookinfo_canary.metrics import Snapshot
from bookinfo_canary.owned import Route
from bookinfo_canary.plan import Criteria, Plan, Versions
from bookinfo_canary.routes import Json, RouteKind, VirtualService
from bookinfo_canary.signals import Signals

Codes = Mapping[str, float]


@dataclass
class World:
    """A service that gets `rate` requests a second, and a clock that runs only while somebody waits."""

    rate: float = 20.0
    canary: Codes = field(default_factory=lambda: {"200": 1.0})
    slow: float = 8.0  # milliseconds of the canary
    broken: Callable[[float], bool] = lambda _: False  # whether the metrics cannot be read at that time
    stop_at: float = float("inf")
    time: float = 0.0
    counts: dict[str, dict[str, float]] = field(default_factory=lambda: {"v1": {}, "v2": {}})
    applied: list[dict[str, int]] = field(default_factory=list)
    object: Json | None = None
    refuses: Callable[[dict[str, int]], bool] = lambda _: False

    # the clock
    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.sleep(min(seconds, max(0.0, self.stop_at - self.time)))
        if self.time >= self.stop_at:
            raise StoppedError("it was stopped by SIGTERM")

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        share = self.applied[-1] if self.applied else {"v1": 100}
        for version, weight in share.items():
            for code, part in (self.canary if version == "v2" else {"200": 1.0}).items():
                counts = self.counts[version]
                counts[code] = counts.get(code, 0.0) + self.rate * seconds * weight / 100 * part

    # the metrics
    def read(self) -> Snapshot:
        if self.broken(self.time):
            raise CanaryError("the metrics cannot be read")

        def whole(version: str) -> dict[str, int]:
            return {code: round(count) for code, count in self.counts[version].items()}

        return {**counted("v1", whole("v1")), **counted("v2", whole("v2"), self.slow)}

    # the target
    def find(self, resource: str, name: str) -> Json | None:
        return self.object

    def all(self, resource: str) -> list[Json]:
        return [{"spec": {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}]}}]

    def apply(self, body: Json, *, take_over: bool = False) -> None:
        weights = {entry["destination"]["subset"]: entry["weight"] for entry in body["spec"]["http"][0]["route"]}
        if self.refuses(weights):
            raise CanaryError("the API server does not answer")
        self.object = body
        self.applied.append(weights)

    def managers(self, body: Json, kind: RouteKind) -> list[str]:
        return []


@pytest.fixture
def release(versions: Versions, criteria: Criteria) -> Callable[..., tuple[bool, list[Event]]]:
    def run(world: World, **changes: Any) -> tuple[bool, list[Event]]:
        plan = replace(Plan(versions, (10, 25, 50, 100), criteria, 60.0, 300.0, 15.0), **changes)
        events: list[Event] = []
        clock: Signals = world  # type: ignore[assignment]
        route = Route(world, VirtualService(), versions.service, take_over=False)
        return Release(plan, route, world, clock, events.append).run(), events

    return run


def reason(events: list[Event]) -> str:
    (event,) = [event for event in events if isinstance(event, RolledBack)]
    return event.reason


def test_a_good_canary_goes_through_all_steps(release) -> None:
    world = World()
    promoted, events = release(world)
    assert promoted
    assert world.applied == [{"v1": 90, "v2": 10}, {"v1": 75, "v2": 25}, {"v1": 50, "v2": 50}, {"v2": 100}]
    assert world.time == pytest.approx(4 * (15 + 60))
    assert isinstance(events[-1], Promoted)


def test_one_that_fails_is_rolled_back_at_the_first_step_before_its_window_ends(release) -> None:
    world = World(rate=100, canary={"200": 0.7, "503": 0.3})
    promoted, events = release(world)
    assert not promoted
    assert world.applied == [{"v1": 90, "v2": 10}, {"v1": 100}]
    assert world.time < 15 + 60
    assert "requests to v2 succeeded, at least 99.0 % must" in reason(events)


def test_one_that_is_slow_is_rolled_back_at_the_first_step(release) -> None:
    world = World(slow=400)
    promoted, events = release(world)
    assert not promoted
    assert world.applied[-1] == {"v1": 100}
    assert "p99 of v2 is" in reason(events)


def test_one_without_requests_is_waited_for_and_then_rolled_back(release) -> None:
    world = World(rate=0)
    promoted, events = release(world)
    assert not promoted
    assert world.applied == [{"v1": 90, "v2": 10}, {"v1": 100}]
    assert world.time == pytest.approx(15 + 300)
    assert reason(events) == "it was not decided within 300 s: v2 had 0 of the 100 requests that are needed"
    assert len([event for event in events if isinstance(event, Judged)]) == 5


def test_little_traffic_takes_more_windows(release) -> None:
    """Two requests a second are 12 a window for the canary at the first step."""
    world = World(rate=10)
    promoted, events = release(world)
    assert promoted
    outcomes = [event.judgement.outcome for event in events if isinstance(event, Judged) and event.weight == 10]
    assert outcomes == ["undecided", "passed"]


def test_the_last_step_is_held_against_what_the_stable_version_did_before(release) -> None:
    promoted, events = release(World())
    assert promoted
    last = [event for event in events if isinstance(event, Judged)][-1]
    assert last.seen.stable.requests == 0
    assert "(v1: 10 ms)" in last.judgement.reason


def test_a_fault_that_shows_only_later_is_rolled_back_then(release) -> None:
    class Leaking(World):
        def sleep(self, seconds: float) -> None:
            if self.applied and self.applied[-1].get("v2", 0) >= 50:
                self.canary = {"200": 0.5, "500": 0.5}
            super().sleep(seconds)

    world = Leaking()
    promoted, _ = release(world)
    assert not promoted
    assert [weights.get("v2", 0) for weights in world.applied] == [10, 25, 50, 0]


@pytest.mark.parametrize("moment", [3, 40, 100, 299])
def test_being_stopped_at_any_moment_restores_the_stable_route(release, moment: float) -> None:
    world = World(stop_at=moment)
    promoted, events = release(world)
    assert not promoted
    assert world.applied[-1] == {"v1": 100}
    assert reason(events) == "it was stopped by SIGTERM"


def test_being_stopped_before_the_first_weight_changes_nothing(release) -> None:
    world = World(stop_at=0)
    with pytest.raises(StoppedError):
        release(world)
    assert world.applied == []


def test_metrics_that_cannot_be_read_from_the_start_change_nothing(release) -> None:
    world = World(broken=lambda _: True)
    with pytest.raises(CanaryError, match="the metrics cannot be read"):
        release(world)
    assert world.applied == []


def test_metrics_that_fail_for_a_moment_are_asked_again(release) -> None:
    promoted, _ = release(World(broken=lambda time: 30 <= time < 31))
    assert promoted


def test_metrics_that_fail_for_good_roll_back(release) -> None:
    world = World(broken=lambda time: time >= 30)
    promoted, events = release(world)
    assert not promoted
    assert world.applied[-1] == {"v1": 100}
    assert reason(events) == "the metrics cannot be read"


def test_a_route_that_somebody_else_moves_rolls_back(release) -> None:
    class Moved(World):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.time > 50 and len(self.applied) == 1 and self.object:
                self.object["spec"]["http"][0]["route"][0]["weight"] = 42

    world = Moved()
    promoted, events = release(world)
    assert not promoted
    assert world.applied[-1] == {"v1": 100}
    assert reason(events) == "somebody else changed the route of reviews to v1 42 %, v2 10 %"


def test_a_step_that_the_target_refuses_rolls_back(release) -> None:
    world = World(refuses=lambda weights: weights.get("v2") == 25)
    promoted, events = release(world)
    assert not promoted
    assert world.applied[-1] == {"v1": 100}
    assert reason(events) == "the API server does not answer"


def test_an_error_that_nobody_foresaw_rolls_back_too(release) -> None:
    class Faulty(World):
        def read(self) -> Snapshot:
            if self.time > 30:
                raise ZeroDivisionError
            return super().read()

    world = Faulty()
    with pytest.raises(ZeroDivisionError):
        release(world)
    assert world.applied[-1] == {"v1": 100}


def test_what_cannot_be_rolled_back_is_told_as_that(release) -> None:
    world = World(canary={"503": 1.0}, refuses=lambda weights: weights == {"v1": 100})
    with pytest.raises(NotRestoredError, match="the API server does not answer"):
        release(world)


def test_every_event_has_a_line_and_a_json_form(release) -> None:
    _, events = release(World())
    told = [line(event) for event in events]
    assert told[0] == "reviews: from v1 to v2 in steps of 10, 25, 50, 100 percent"
    assert told[1] == "reviews: v1 90 %, v2 10 %"
    table = told[2].splitlines()
    assert table[0].split() == ["requests", "succeeded", "surely", "between", "p50", "p99"]
    assert table[2].split()[:4] == ["v2", "120", "100.0", "%"]
    assert table[3].startswith("  passed: 100.0 % of 120 requests to v2 succeeded")
    assert told[-1] == "promoted: v2 has every request of reviews"
    assert [json.loads(encoded(event))["event"] for event in events[:3]] == ["started", "weighted", "judged"]
    assert json.loads(encoded(events[-1]))["event"] == "promoted"
    assert '"canary": {"requests": 120, "failures": 0, "p99": 9.9}' in encoded(events[2])
    _, events = release(World(canary={"503": 1.0}))
    assert line(events[-1]).startswith("rolled back: v1 has every request of reviews, because 0.0 % of ")
    assert '"event": "rolled back"' in encoded(events[-1])
    assert '"p99": null' in encoded(events[-2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (10, 50)}, "end with 100"),
        ({"steps": (50, 10, 100)}, "rising"),
        ({"steps": (0, 100)}, "rising"),
        ({"steps": (100,)}, "nothing to compare with"),
        ({"limit": 30.0}, "--limit is shorter than --window"),
        ({"window": 0.0}, "--window: use more than 0"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(release, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        release(World(), **changes)
