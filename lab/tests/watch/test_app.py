"""The page's application, asked as its own page asks it."""

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
from bookinfo_lab.resources.store import Objects
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.runtime import supervisor
from bookinfo_lab.watch import app as page
from bookinfo_lab.watch.feed import Feed
from bookinfo_lab.watch.jobs import Command, Lessons, Load

OWN = {"origin": "http://localhost:8081", "sec-fetch-site": "same-origin"}
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: outside, namespace: default}
stringData: {key: do not show me}
"""
CHANGES = ["/api/lesson", "/api/lesson/stop", "/api/reset", "/api/load", "/api/load/stop"]


class Started(Lessons):
    """Lessons of which none is really run."""

    def __init__(self) -> None:
        super().__init__(Command("default", os.environ), lambda: None)
        self.asked: list[tuple[str, int | None]] = []

    def start(self, scenario: str, step: int | None) -> None:
        self.asked.append((scenario, step))
        if scenario == "busy":
            raise LabError("canary is still running")


class Lab:
    """What the page needs of a lab."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.resets = 0

    async def reset(self) -> None:
        self.resets += 1


class Watch:
    """The application with what is behind it."""

    def __init__(self, repository: Path) -> None:
        start = supervisor.initial_objects(repository)
        applied, _ = start.apply(read_documents(SECRET, "secret.yaml"))
        applied, _ = applied.delete([next(item for item in start.documents.values() if item.kind == "Gateway")])
        self.lab = Lab(applied)
        self.lessons = Started()
        self.spans = SpanStore()
        observations = Observations(lambda: Topology((), (), ()), RequestLog(), self.spans)
        self.watched = page.Watched(
            cast("Any", self.lab),
            start,
            lambda: {"lab": "default"},
            observations,
            self.lessons,
            Load(Command("default", os.environ), lambda: None),
        )
        self.client = TestClient(
            page.application(self.watched, Feed({})), base_url="http://localhost:8081", headers=OWN
        )


@pytest.fixture
def watch(repository: Path) -> Watch:
    return Watch(repository)


def test_the_page_and_its_files_are_there_and_none_may_be_framed_cached_or_run_foreign_code(watch: Watch) -> None:
    for path in ("/", "/static/watch.css", "/static/main.js", "/static/icon.svg"):
        answer = watch.client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_what_the_page_asks_for_is_all_its_own(watch: Watch) -> None:
    text = watch.client.get("/").text
    assert "//" not in text
    assert "<script>" not in text
    assert "style=" not in text


@pytest.mark.parametrize("path", CHANGES)
def test_get_changes_nothing(watch: Watch, path: str) -> None:
    assert watch.client.get(path).status_code == 405
    assert watch.lab.resets == 0
    assert watch.lessons.asked == []


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_from_elsewhere_is_refused_before_it_is_read(watch: Watch, path: str) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        assert watch.client.post(path, json={}, headers=headers).status_code == 403
    assert watch.client.post(path, content=b"{}", headers={"content-type": "text/plain"}).status_code == 403
    assert watch.lab.resets == 0
    assert watch.lessons.asked == []


def test_a_button_goes_to_a_step_and_another_proves_all(watch: Watch) -> None:
    assert watch.client.post("/api/lesson", json={"scenario": "canary", "step": 2}).status_code == 200
    assert watch.client.post("/api/lesson", json={"scenario": "canary", "step": None}).status_code == 200
    assert watch.lessons.asked == [("canary", 2), ("canary", None)]


def test_reset_resets(watch: Watch) -> None:
    assert watch.client.post("/api/reset", json={}).status_code == 200
    assert watch.lab.resets == 1


def test_what_cannot_be_done_is_one_line(watch: Watch) -> None:
    answer = watch.client.post("/api/lesson", json={"scenario": "busy", "step": 1})
    assert (answer.status_code, answer.json()) == (422, {"error": "canary is still running"})


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
def test_a_body_of_another_form_is_refused(watch: Watch, body: bytes) -> None:
    answer = watch.client.post("/api/lesson", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert watch.lessons.asked == []


@pytest.mark.parametrize("rps", [0, -1, 0.05, 51, 1e9])
def test_load_is_bounded(watch: Watch, rps: float) -> None:
    answer = watch.client.post("/api/load", json={"rps": rps, "seconds": 1})
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "load: 0.1 to 50 requests a second, for 0.1 to 600 s",
    )


def test_nothing_is_reset_or_loaded_while_a_scenario_counts(watch: Watch) -> None:
    watch.lessons._state = {"running": True}
    for path, body in (("/api/reset", {}), ("/api/load", {"rps": 1, "seconds": 1})):
        assert "is running" in watch.client.post(path, json=body).json()["error"]
    assert watch.lab.resets == 0


def test_every_scenario_says_what_each_step_applies_sends_and_claims(watch: Watch) -> None:
    told = {scenario["name"]: scenario for scenario in watch.client.get("/api/scenarios").json()}
    step = told["canary"]["steps"][0]
    assert step["commands"] == ["bookinfo apply -f istio/canary/reviews-90-10.yaml"]
    (observation,) = step["observations"]
    assert "reviews" in observation["traffic"]
    assert any("10 %" in claim for claim in observation["claims"])


def test_objects_that_are_new_or_gone_since_the_start_come_first(watch: Watch) -> None:
    rows = page.topics(watch.watched)["objects"]()
    assert [(row["kind"], row["change"]) for row in rows[:2]] == [("Secret", "new"), ("Gateway", "deleted")]
    assert not any(row["change"] for row in rows[2:])


def test_a_manifest_is_shown_but_no_secret(watch: Watch) -> None:
    assert "kind: DestinationRule" in watch.client.get("/api/objects/DestinationRule/default/reviews").text
    shown = watch.client.get("/api/objects/Secret/default/outside").text
    assert "key: (not shown)" in shown
    assert "do not show me" not in shown


@pytest.mark.parametrize(
    "path", ["/api/objects/Secret/elsewhere/outside", "/api/objects/Nonsense/default/x", "/api/traces/4bf9"]
)
def test_what_is_not_there_is_said_in_one_line(watch: Watch, path: str) -> None:
    answer = watch.client.get(path)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]


def test_a_trace_is_found_by_the_beginning_of_its_id(watch: Watch) -> None:
    watch.spans.add([Span("4bf92f", "1", "", "GET", "server", 0, 10, False, {}, {})])
    assert watch.client.get("/api/traces/4BF9").json()["trace_id"] == "4bf92f"
    watch.spans.add([Span("4bf9aa", "1", "", "GET", "server", 0, 10, False, {}, {})])
    assert "more than one" in watch.client.get("/api/traces/4bf9").json()["error"]


def test_the_buttons_of_an_application_are_its_only_posts(watch: Watch) -> None:
    """A new one must come with the tests above."""
    guarded: Callable[..., Any] = watch.client.app
    routes = cast("Any", guarded)._app.routes
    assert sorted(route.path for route in routes if "POST" in (route.methods or ())) == sorted(CHANGES)
    assert all(route.methods <= {"GET", "HEAD", "POST"} for route in routes)


def test_a_hostile_name_stays_text(watch: Watch) -> None:
    """It goes out as JSON, and the page's script never parses text as markup (trusted types forbid it)."""
    watch.spans.add([Span("aa", "1", "", "<img src=x onerror=alert(1)>", "server", 0, 10, False, {}, {})])
    answer = watch.client.get("/api/traces/aa")
    assert answer.headers["content-type"] == "application/json"
    assert "require-trusted-types-for 'script'" in answer.headers["content-security-policy"]


def test_the_script_uses_nothing_that_parses_markup() -> None:
    static = Path(page.__file__).parent / "static"
    text = "".join(path.read_text() for path in static.glob("*.js"))
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in text
