"""Fault injection."""

from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

Start = Callable[..., TestClient]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the delays without waiting."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("bookinfo_chassis.fault_injection.asyncio", SimpleNamespace(sleep=sleep))
    return waits


def statuses(client: TestClient, count: int) -> list[int]:
    return [client.get("/things/1").status_code for _ in range(count)]


def test_there_are_no_faults_by_default(start: Start) -> None:
    assert statuses(start(), 20) == [200] * 20


def test_requests_are_aborted_with_the_configured_status(start: Start) -> None:
    response = start(fault_abort_percent=100, fault_abort_status=418).get("/things/1")
    assert (response.status_code, response.json()) == (418, {"error": "fault injected on purpose"})


def test_a_share_is_aborted_reproducibly_with_a_seed(start: Start) -> None:
    first = statuses(start(fault_abort_percent=30, fault_seed=7), 300)
    assert 60 <= first.count(503) <= 120
    assert statuses(start(fault_abort_percent=30, fault_seed=7), 300) == first
    assert statuses(start(fault_abort_percent=30, fault_seed=8), 300) != first


def test_every_response_is_delayed(start: Start, slept: list[float]) -> None:
    assert statuses(start(fault_delay_ms=1500), 3) == [200] * 3
    assert slept == [1.5, 1.5, 1.5]


def test_a_share_of_the_responses_is_delayed(start: Start, slept: list[float]) -> None:
    statuses(start(fault_delay_ms=10, fault_delay_percent=40, fault_seed=1), 200)
    assert 50 <= len(slept) <= 110


def test_a_request_can_be_delayed_and_then_aborted(start: Start, slept: list[float]) -> None:
    client = start(fault_delay_ms=10, fault_abort_percent=100)
    assert (statuses(client, 1), slept) == ([503], [0.01])


def test_aborted_requests_are_counted(start: Start) -> None:
    client = start(fault_abort_percent=100)
    client.get("/things/1")
    assert (
        'http_requests_total{method="GET",route="/things/{thing_id}",status="503"} 1.0' in client.get("/metrics").text
    )


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_metrics_have_no_faults(start: Start, slept: list[float], path: str) -> None:
    client = start(fault_abort_percent=100, fault_delay_ms=60_000)
    assert client.get(path).status_code == 200
    assert slept == []


def test_health_has_no_faults(start: Start) -> None:
    # The chassis itself has no /health. A fault would return 503.
    assert start(fault_abort_percent=100).get("/health").status_code == 404


def test_the_delay_takes_real_time(start: Start) -> None:
    client = start(fault_delay_ms=60)
    began = monotonic()
    client.get("/things/1")
    assert monotonic() - began >= 0.06
