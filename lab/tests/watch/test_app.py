"""The page's application, with the requests of its own page."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe.observations import Observations
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.observe.spans import Span, SpanStore
from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.store import ObjectStore
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.runtime import supervisor
from bookinfo_lab.watch import app as page
from bookinfo_lab.watch.feed import Feed
from bookinfo_lab.watch.jobs import Command, LoadJob, ScenarioJob

OWN = {"origin": "http://localhost:8081", "sec-fetch-site": "same-origin"}
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: outside, namespace: default}
stringData: {key: secret value}
"""
CHANGES = ["/api/scenario", "/api/scenario/stop", "/api/reset", "/api/load", "/api/load/stop"]


class FakeScenarioJob(ScenarioJob):
    """Records the scenarios that are started, and runs none."""

    def __init__(self) -> None:
        super().__init__(Command("default", os.environ), lambda: None)
        self.started: list[tuple[str, int | None]] = []

    def start(self, scenario: str, step: int | None) -> None:
        self.started.append((scenario, step))
        if scenario == "busy":
            raise LabError("scenario canary is running")


class FakeLab:
    """The part of a lab that the page uses."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self.resets = 0

    async def reset(self) -> None:
        self.resets += 1


class Watch:
    """The application with its fakes."""

    def __init__(self, repository: Path) -> None:
        start = supervisor.initial_objects(repository)
        applied, _ = start.apply(read_documents(SECRET, "secret.yaml"))
        applied, _ = applied.delete([next(item for item in start.documents.values() if item.kind == "Gateway")])
        self.lab = FakeLab(applied)
        self.scenario_job = FakeScenarioJob()
        self.spans = SpanStore()
        observations = Observations(lambda: Topology((), (), ()), RequestLog(), self.spans)
        self.context = page.PageContext(
            cast("Any", self.lab),
            start,
            lambda: {"lab": "default"},
            observations,
            self.scenario_job,
            LoadJob(Command("default", os.environ), lambda: None),
        )
        self.client = TestClient(
            page.application(self.context, Feed({})), base_url="http://localhost:8081", headers=OWN
        )


@pytest.fixture
def watch(repository: Path) -> Watch:
    return Watch(repository)


def test_page_and_files_have_protective_headers(watch: Watch) -> None:
    for path in ("/", "/static/watch.css", "/static/main.js", "/static/icon.svg"):
        response = watch.client.get(path)
        assert response.status_code == 200, path
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in response.headers


def test_page_loads_only_its_own_files(watch: Watch) -> None:
    text = watch.client.get("/").text
    assert "//" not in text
    assert "<script>" not in text
    assert "style=" not in text


@pytest.mark.parametrize("path", CHANGES)
def test_get_of_a_change_is_rejected(watch: Watch, path: str) -> None:
    assert watch.client.get(path).status_code == 405
    assert watch.lab.resets == 0
    assert watch.scenario_job.started == []


@pytest.mark.parametrize("path", CHANGES)
def test_change_from_another_site_is_rejected(watch: Watch, path: str) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        assert watch.client.post(path, json={}, headers=headers).status_code == 403
    assert watch.client.post(path, content=b"{}", headers={"content-type": "text/plain"}).status_code == 403
    assert watch.lab.resets == 0
    assert watch.scenario_job.started == []


def test_scenario_job_starts_a_step_or_all_steps(watch: Watch) -> None:
    assert watch.client.post("/api/scenario", json={"scenario": "canary", "step": 2}).status_code == 200
    assert watch.client.post("/api/scenario", json={"scenario": "canary", "step": None}).status_code == 200
    assert watch.scenario_job.started == [("canary", 2), ("canary", None)]


def test_reset_resets_the_lab(watch: Watch) -> None:
    assert watch.client.post("/api/reset", json={}).status_code == 200
    assert watch.lab.resets == 1


def test_error_is_returned_as_json(watch: Watch) -> None:
    response = watch.client.post("/api/scenario", json={"scenario": "busy", "step": 1})
    assert (response.status_code, response.json()) == (422, {"error": "scenario canary is running"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\xff",
        b"[" * 2000,
        b"[]",
        b"{}",
        b'{"scenario": 1, "step": 1}',
        b'{"scenario": "canary", "step": "1"}',
        b'{"scenario": "canary", "step": true}',
        b'{"scenario": "canary", "step": 1, "more": 1}',
    ],
)
def test_invalid_body_is_rejected(watch: Watch, body: bytes) -> None:
    response = watch.client.post("/api/scenario", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert watch.scenario_job.started == []


@pytest.mark.parametrize("rps", [0, -1, 0.05, 51, 1e9])
def test_load_out_of_range_is_rejected(watch: Watch, rps: float) -> None:
    response = watch.client.post("/api/load", json={"rps": rps, "seconds": 1})
    assert (response.status_code, response.json()["error"]) == (
        422,
        "load out of range; use 0.1 to 50 requests per second for 0.1 to 600 s",
    )


def test_reset_and_load_are_rejected_while_a_scenario_runs(watch: Watch) -> None:
    watch.scenario_job._state = {"running": True}
    for path, body in (("/api/reset", {}), ("/api/load", {"rps": 1, "seconds": 1})):
        assert "is running" in watch.client.post(path, json=body).json()["error"]
    assert watch.lab.resets == 0


def test_scenarios_contain_commands_traffic_and_claims(watch: Watch) -> None:
    scenarios = {scenario["name"]: scenario for scenario in watch.client.get("/api/scenarios").json()}
    step = scenarios["canary"]["steps"][0]
    assert step["commands"] == ["bookinfo apply -f istio/canary/reviews-90-10.yaml"]
    (observation,) = step["observations"]
    assert "reviews" in observation["traffic"]
    assert any("10 %" in claim for claim in observation["claims"])


def test_new_and_deleted_objects_come_first(watch: Watch) -> None:
    rows = page.topics(watch.context)["objects"]()
    assert [(row["kind"], row["change"]) for row in rows[:2]] == [("Secret", "new"), ("Gateway", "deleted")]
    assert not any(row["change"] for row in rows[2:])


def test_manifest_hides_the_values_of_a_secret(watch: Watch) -> None:
    assert "kind: DestinationRule" in watch.client.get("/api/objects/DestinationRule/default/reviews").text
    shown = watch.client.get("/api/objects/Secret/default/outside").text
    assert "key: (hidden)" in shown
    assert "secret value" not in shown


@pytest.mark.parametrize(
    "path", ["/api/objects/Secret/elsewhere/outside", "/api/objects/Nonsense/default/x", "/api/traces/4bf9"]
)
def test_missing_item_is_reported_in_one_line(watch: Watch, path: str) -> None:
    response = watch.client.get(path)
    assert response.status_code == 422
    assert "\n" not in response.json()["error"]


def test_trace_is_found_by_a_prefix_of_its_id(watch: Watch) -> None:
    watch.spans.add([Span("4bf92f", "1", "", "GET", "server", 0, 10, False, {}, {})])
    assert watch.client.get("/api/traces/4BF9").json()["trace_id"] == "4bf92f"
    watch.spans.add([Span("4bf9aa", "1", "", "GET", "server", 0, 10, False, {}, {})])
    assert "more than one" in watch.client.get("/api/traces/4bf9").json()["error"]


def test_changes_are_the_only_post_routes(watch: Watch) -> None:
    """A new change needs the tests above."""
    guarded: Callable[..., Any] = watch.client.app
    routes = cast("Any", guarded)._app.routes
    assert sorted(route.path for route in routes if "POST" in (route.methods or ())) == sorted(CHANGES)
    assert all(route.methods <= {"GET", "HEAD", "POST"} for route in routes)


def test_hostile_span_name_is_sent_as_json(watch: Watch) -> None:
    """It is sent as JSON, and the page's script never parses text as markup (trusted types forbid it)."""
    watch.spans.add([Span("aa", "1", "", "<img src=x onerror=alert(1)>", "server", 0, 10, False, {}, {})])
    response = watch.client.get("/api/traces/aa")
    assert response.headers["content-type"] == "application/json"
    assert "require-trusted-types-for 'script'" in response.headers["content-security-policy"]


def test_script_does_not_parse_markup() -> None:
    static = Path(page.__file__).parent / "static"
    text = "".join(path.read_text() for path in static.glob("*.js"))
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in text
