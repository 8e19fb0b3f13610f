"""Liveness and readiness."""

from collections.abc import Callable

from starlette.testclient import TestClient

from bookinfo_chassis.app import Service

Start = Callable[..., TestClient]


def test_a_running_service_is_alive_and_ready(start: Start) -> None:
    client = start()
    assert (client.get("/livez").status_code, client.get("/livez").json()) == (200, {"status": "alive"})
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (200, {"status": "ready"})


def test_a_draining_service_is_alive_and_not_ready(start: Start) -> None:
    client = start()
    assert isinstance(client.app, Service)
    client.app.lifecycle.ready = False
    assert client.get("/livez").status_code == 200
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (503, {"status": "not ready"})


def test_a_service_is_not_ready_before_its_start(start: Start) -> None:
    app = start().app
    assert isinstance(app, Service)
    app.lifecycle.ready = False
    assert TestClient(app).get("/readyz").status_code == 503
