"""The sick versions of ratings, on a clock of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.testclient import TestClient

from bookinfo_ratings.app import create_app
from bookinfo_ratings.fault_mode import FaultMode
from bookinfo_ratings.settings import Settings

UNAVAILABLE = (503, '{"error":"Service unavailable"}')
MINUTE = 60.0


class World:
    """A service whose time passes by `now` alone."""

    def __init__(self, client: TestClient, time: "Time") -> None:
        self.client = client
        self.time = time

    def get(self) -> tuple[int, str]:
        answer = self.client.get("/ratings/0")
        return answer.status_code, answer.text

    def statuses(self, count: int) -> list[int]:
        return [self.get()[0] for _ in range(count)]


class Time:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


Start = Callable[..., World]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as running:

        def _start(version: str, **more: Any) -> World:
            settings = Settings.load(version=version, fault_seed=1, **more)
            time = Time()
            client = TestClient(create_app(settings, FaultMode(settings, time.clock, time.sleep)))
            return World(running.enter_context(client), time)

        yield _start


def test_v_faulty_fails_half_of_the_gets_with_503(start: Start) -> None:
    world = start("v-faulty")
    statuses = world.statuses(400)
    assert set(statuses) == {200, 503}
    assert 160 <= statuses.count(503) <= 240


def test_v_faulty_fails_a_chosen_share(start: Start) -> None:
    assert start("v-faulty", faulty_percent=100).get() == UNAVAILABLE
    assert start("v-faulty", faulty_percent=0).statuses(20) == [200] * 20


def test_a_seed_repeats_which_gets_fail(start: Start) -> None:
    assert start("v-faulty").statuses(50) == start("v-faulty").statuses(50)


def test_v_delayed_holds_half_of_the_gets_up_for_7_s(start: Start) -> None:
    world = start("v-delayed")
    assert world.statuses(400) == [200] * 400
    assert 160 <= len(world.time.slept) <= 240
    assert set(world.time.slept) == {7.0}


def test_v_delayed_takes_a_share_and_a_time(start: Start) -> None:
    world = start("v-delayed", delayed_percent=100, delayed_seconds=0.5)
    world.statuses(3)
    assert world.time.slept == [0.5, 0.5, 0.5]


def test_v_unavailable_is_up_for_a_minute_and_down_for_the_next(start: Start) -> None:
    world = start("v-unavailable")
    seen = []
    for _ in range(4):
        seen.append(world.get()[0])
        world.time.now += MINUTE
    assert seen == [200, 503, 200, 503]


def test_v_unavailable_stays_healthy_while_it_is_down(start: Start) -> None:
    world = start("v-unavailable")
    world.time.now += MINUTE
    assert world.get() == UNAVAILABLE
    assert world.client.get("/health").status_code == 200


def test_v_unhealthy_turns_unhealthy_and_unavailable_after_15_minutes(start: Start) -> None:
    world = start("v-unhealthy")
    world.time.now += 14 * MINUTE
    assert (world.client.get("/health").status_code, world.get()[0]) == (200, 200)
    world.time.now += MINUTE
    answer = world.client.get("/health")
    assert (answer.status_code, answer.text) == (500, '{"status":"Ratings is not healthy"}')
    assert world.get() == UNAVAILABLE
    world.time.now += 15 * MINUTE
    assert (world.client.get("/health").status_code, world.get()[0]) == (200, 200)


def test_the_periods_are_settings(start: Start) -> None:
    world = start("v-unavailable", unavailable_period_seconds=1.5)
    world.time.now += 1.5
    assert world.get() == UNAVAILABLE


@pytest.mark.parametrize("version", ["v-faulty", "v-delayed", "v-unavailable", "v-unhealthy"])
def test_a_post_is_never_hit(start: Start, version: str) -> None:
    world = start(version, faulty_percent=100, delayed_percent=100)
    world.time.now += 15 * MINUTE
    assert world.client.post("/ratings/0", content='{"Reviewer1":1}').status_code == 200
    assert world.time.slept == []


@pytest.mark.parametrize("version", ["v-faulty", "v-unavailable", "v-unhealthy"])
def test_probes_tell_the_process_and_not_the_sickness(start: Start, version: str) -> None:
    world = start(version, faulty_percent=100)
    world.time.now += 15 * MINUTE
    assert world.client.get("/livez").status_code == 200
    assert world.client.get("/readyz").status_code == 200
