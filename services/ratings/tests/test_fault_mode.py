"""The fault modes of ratings, with a fake clock."""

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


class TimedService:
    """A service with a fake clock."""

    def __init__(self, client: TestClient, time: "Time") -> None:
        self.client = client
        self.time = time

    def get(self) -> tuple[int, str]:
        response = self.client.get("/ratings/0")
        return response.status_code, response.text

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


Start = Callable[..., TimedService]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as running:

        def _start(version: str, **more: Any) -> TimedService:
            settings = Settings.load(version=version, fault_seed=1, **more)
            time = Time()
            client = TestClient(create_app(settings, FaultMode(settings, time.clock, time.sleep)))
            return TimedService(running.enter_context(client), time)

        yield _start


def test_v_faulty_fails_half_of_the_requests(start: Start) -> None:
    service = start("v-faulty")
    statuses = service.statuses(400)
    assert set(statuses) == {200, 503}
    assert 160 <= statuses.count(503) <= 240


def test_v_faulty_fails_the_configured_share(start: Start) -> None:
    assert start("v-faulty", faulty_percent=100).get() == UNAVAILABLE
    assert start("v-faulty", faulty_percent=0).statuses(20) == [200] * 20


def test_a_seed_makes_failures_reproducible(start: Start) -> None:
    assert start("v-faulty").statuses(50) == start("v-faulty").statuses(50)


def test_v_delayed_delays_half_of_the_requests_by_7_s(start: Start) -> None:
    service = start("v-delayed")
    assert service.statuses(400) == [200] * 400
    assert 160 <= len(service.time.slept) <= 240
    assert set(service.time.slept) == {7.0}


def test_v_delayed_applies_the_configured_share_and_delay(start: Start) -> None:
    service = start("v-delayed", delayed_percent=100, delayed_seconds=0.5)
    service.statuses(3)
    assert service.time.slept == [0.5, 0.5, 0.5]


def test_v_unavailable_alternates_every_minute(start: Start) -> None:
    service = start("v-unavailable")
    seen = []
    for _ in range(4):
        seen.append(service.get()[0])
        service.time.now += MINUTE
    assert seen == [200, 503, 200, 503]


def test_v_unavailable_stays_healthy_while_unavailable(start: Start) -> None:
    service = start("v-unavailable")
    service.time.now += MINUTE
    assert service.get() == UNAVAILABLE
    assert service.client.get("/health").status_code == 200


def test_v_unhealthy_is_unhealthy_and_unavailable_every_other_15_minutes(start: Start) -> None:
    service = start("v-unhealthy")
    service.time.now += 14 * MINUTE
    assert (service.client.get("/health").status_code, service.get()[0]) == (200, 200)
    service.time.now += MINUTE
    response = service.client.get("/health")
    assert (response.status_code, response.text) == (500, '{"status":"Ratings is not healthy"}')
    assert service.get() == UNAVAILABLE
    service.time.now += 15 * MINUTE
    assert (service.client.get("/health").status_code, service.get()[0]) == (200, 200)


def test_the_periods_are_settings(start: Start) -> None:
    service = start("v-unavailable", unavailable_period_seconds=1.5)
    service.time.now += 1.5
    assert service.get() == UNAVAILABLE


@pytest.mark.parametrize("version", ["v-faulty", "v-delayed", "v-unavailable", "v-unhealthy"])
def test_post_has_no_faults(start: Start, version: str) -> None:
    service = start(version, faulty_percent=100, delayed_percent=100)
    service.time.now += 15 * MINUTE
    assert service.client.post("/ratings/0", content='{"Reviewer1":1}').status_code == 200
    assert service.time.slept == []


@pytest.mark.parametrize("version", ["v-faulty", "v-unavailable", "v-unhealthy"])
def test_probes_are_independent_of_the_fault_mode(start: Start, version: str) -> None:
    service = start(version, faulty_percent=100)
    service.time.now += 15 * MINUTE
    assert service.client.get("/livez").status_code == 200
    assert service.client.get("/readyz").status_code == 200
