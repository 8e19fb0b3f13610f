"""The page on which a lab is watched, on a real lab: drawn, worked with, and attacked from another page."""

import functools
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy

from .conftest import FLAGS, chromium_path

Visitor = Callable[..., Page]
Accessible = Callable[[Page], None]
Picture = Callable[[Page, str], None]

SLOW = 30_000
"""Milliseconds for what a busy machine may take its time with."""

DELAY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
    - fault: {delay: {percentage: {value: 100}, fixedDelay: 1.5s}}
      route: [{destination: {host: ratings}}]
"""


LONG = """
apiVersion: v1
kind: Service
metadata: {name: recommendations-of-others}
spec:
  selector: {app: recommendations-of-others}
  ports: [{name: http, port: 9080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: recommendations-of-others}
spec:
  selector: {matchLabels: {app: recommendations-of-others}}
  template:
    metadata: {labels: {app: recommendations-of-others, version: 2026-11-22-release-candidate-17}}
    spec: {containers: [{name: details, image: bookinfo-details, ports: [{containerPort: 9080}]}]}
"""

OUTSIDE_OF_THEIR_BOXES = """
[...document.querySelectorAll(".boxes > g")].flatMap((group) => {
  const box = group.querySelector(".box").getBoundingClientRect();
  const leaves = (text) => text.right > box.right || text.left < box.left;
  return [...group.querySelectorAll("text")].filter((text) => leaves(text.getBoundingClientRect()))
    .map((text) => text.textContent);
})
"""


@dataclass(frozen=True)
class Lab:
    """A running lab."""

    environment: dict[str, str]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "bookinfo_lab", *arguments]
        return subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    @functools.cached_property
    def status(self) -> Any:
        return json.loads(self("status", "--json"))

    @property
    def watch(self) -> str:
        """The address of the page."""
        address: str = self.status["watch"]
        return address

    def pages(self, count: int) -> None:
        """Load the product page."""
        for _ in range(count):
            with urllib.request.urlopen(self.status["url"], timeout=30) as answer:
                answer.read()


@pytest.fixture(scope="module")
def lab(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab, not without a browser to look at it."""
    state = tmp_path_factory.mktemp("state")
    found = Lab({**os.environ, "XDG_STATE_HOME": str(state), "BOOKINFO_LAB": "watched"})
    try:
        envoy.find(found.environment)
    except LabError as error:
        pytest.skip(str(error))
    try:
        found("up", "--detach", "--gateway-port=0", "--watch-port=0")
        yield found
    finally:
        found("down")


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """The lab as it was started."""
    lab("reset")
    return lab


def edge(page: Page, source: str, destination: str):
    """An edge of the graph."""
    return page.get_by_role("button", name=re.compile(f"^{source} calls {destination}: "))


def test_before_anybody_calls_every_version_stands_in_the_graph(visitor: Visitor, lab: Lab) -> None:
    page = visitor()
    page.goto(lab.watch)
    expect(page.get_by_role("status").first).to_have_text("ready")
    for node in (
        "ingressgateway",
        "productpage v1",
        "details v1",
        "reviews v1",
        "reviews v2",
        "reviews v3",
        "ratings v1",
    ):
        expect(page.get_by_role("button", name=re.compile(f"^{node}: 1 of 1 pods ready"))).to_be_visible()
    expect(page.get_by_role("link", name="Open the product page")).to_have_attribute("href", lab.status["url"])
    expect(page.locator("#objects-total")).to_contain_text("all as at the start")


def test_load_from_the_page_draws_the_edges_with_their_shares(
    visitor: Visitor, fresh: Lab, assert_accessible: Accessible, picture: Picture
) -> None:
    fresh("apply", "-f", "istio/canary/reviews-80-20.yaml")
    page = visitor(width=1340, height=960)
    page.goto(fresh.watch)
    page.get_by_label("Load").fill("20")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#load-line")).to_contain_text("bookinfo load --rps 20", timeout=SLOW)
    for source, destination in (
        ("ingressgateway", "productpage v1"),
        ("productpage v1", "details v1"),
        ("productpage v1", "reviews v1"),
        ("productpage v1", "reviews v2"),
        ("reviews v2", "ratings v1"),
    ):
        expect(edge(page, source, destination)).to_have_accessible_name(
            re.compile(r"\d/s, .* p99 [\d.]+ m?s, mutual TLS$"), timeout=SLOW
        )
    expect(edge(page, "reviews v1", "ratings v1")).to_have_count(0)
    expect(page.locator("#graph-total")).to_contain_text(re.compile(r"1\d|2\d/s from outside"), timeout=SLOW)
    for version, share in (("reviews v1", r"[78]\d %"), ("reviews v2", r"[12]\d %")):
        name = re.compile(f"{share} of its calls of that service")
        expect(edge(page, "productpage v1", version)).to_have_accessible_name(name, timeout=SLOW)
    most, few = (
        float(edge(page, "productpage v1", version).locator(".line").get_attribute("stroke-width") or 0)
        for version in ("reviews v1", "reviews v2")
    )
    assert most > 1.5 * few, (most, few)
    expect(page.locator("#objects button").first).to_have_accessible_name("VirtualService reviews new")

    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("region", name="Calls as a table").get_by_role("row").nth(1)).to_contain_text(
        "productpage v1"
    )
    assert_accessible(page)
    page.get_by_text("The same as a table").click()
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#graph-total")).to_contain_text(re.compile(r"^(1[5-9]|2\d)/s"), timeout=SLOW)
    expect(page.locator(".row").nth(12)).to_be_visible(timeout=SLOW)
    picture(page, "watch")
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()


def test_an_edge_and_a_manifest_are_looked_at_closer_by_keyboard(visitor: Visitor, fresh: Lab) -> None:
    fresh.pages(5)
    page = visitor(dark=True)
    page.goto(fresh.watch)
    details = edge(page, "productpage v1", "details v1")
    details.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#inspector")).to_contain_text("× 200")
    page.keyboard.press("Enter")
    expect(page.locator("#inspector")).to_be_empty()
    manifest = page.get_by_role("button", name="Gateway bookinfo-gateway")
    manifest.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#manifest")).to_contain_text("kind: Gateway")


def test_the_terminal_tells_the_same(fresh: Lab) -> None:
    fresh.pages(3)
    told = json.loads(fresh("graph", "--json"))
    edges = {(edge["source"], edge["destination"]): edge for edge in told["edges"]}
    assert edges["default/productpage-v1", "default/details-v1"]["security"] == "mutual_tls"
    lines = fresh("graph").splitlines()
    assert any(re.match(r"productpage v1 +→ details v1 .* 100 % .* mutual TLS", line) for line in lines), lines


def test_a_step_of_a_scenario_is_run_judged_and_stays_until_the_reset(
    visitor: Visitor, fresh: Lab, assert_accessible: Accessible
) -> None:
    page = visitor(dark=True)
    page.goto(fresh.watch)
    page.get_by_label("Choose one").select_option(label="5. Fault injection: failures on purpose")
    page.get_by_role("button", name="Go to step 2: ratings fails for jason").click()
    expect(page.locator(".verdict")).to_have_text(re.compile(r"^(\d+) of \1 claims hold$"), timeout=120_000)
    expect(page.locator(".step.current h3")).to_have_text("ratings fails for jason")
    expect(page.locator("#objects")).to_contain_text("VirtualService ratings new")
    aborted = page.get_by_role("button", name=re.compile(r"^reviews v2 calls ratings: .*aborted"))
    expect(aborted).to_be_visible(timeout=SLOW)
    aborted.press("Enter")
    expect(page.locator("#inspector")).to_contain_text("FI, aborted on purpose")
    assert_accessible(page)
    page.get_by_role("button", name="Reset the lab").click()
    expect(page.locator("#objects-total")).to_contain_text("all as at the start", timeout=SLOW)


def test_a_scenario_that_runs_can_be_stopped_and_leaves_the_lab_as_it_was(visitor: Visitor, fresh: Lab) -> None:
    page = visitor()
    page.goto(fresh.watch)
    page.get_by_label("Choose one").select_option(label="4. Canary: a release in steps")
    page.get_by_role("button", name="Prove all steps").click()
    expect(page.locator(".progress")).to_contain_text("canary 1/5", timeout=SLOW)
    expect(page.get_by_role("button", name="Go to step 1: 10 %")).to_be_disabled()
    page.locator("#lesson-stop").click()
    expect(page.locator("#lesson .complaint")).to_have_text("stopped", timeout=60_000)
    expect(page.locator("#objects-total")).to_contain_text("all as at the start", timeout=SLOW)


def test_the_slow_span_of_a_trace_is_found_at_a_glance(visitor: Visitor, fresh: Lab) -> None:
    fresh("apply", "-f", "istio/routing/reviews-v2.yaml", "-f", "-", stdin=DELAY)
    fresh.pages(1)
    page = visitor()
    page.goto(fresh.watch)
    page.get_by_role("button", name="slowest").click()
    headline = page.locator(".headline")
    expect(headline).to_contain_text("reviews proxy, calling: /ratings/0 (delayed on purpose)", timeout=SLOW)
    expect(headline).to_contain_text(re.compile(r"^/productpage took [1-9]\.\d\d s; (> )?[5-9]\d %"))
    slowest = page.locator(".row.slowest button")
    expect(slowest).to_contain_text("reviews proxy → /ratings/0 DI")
    slowest.click()
    expect(page.locator(".row.slowest .more")).to_contain_text("response_flags")
    told = fresh("trace", "--slowest")
    assert "(delayed on purpose)" in told.splitlines()[0]
    assert "reviews proxy → /ratings/0" in told


def test_long_names_stay_in_their_boxes_and_are_whole_where_somebody_looks_closer(visitor: Visitor, fresh: Lab) -> None:
    fresh("apply", "-f", "-", stdin=LONG)
    page = visitor()
    page.goto(fresh.watch)
    node = page.get_by_role("button", name=re.compile("^recommendations-of-others 2026-11-22-release-candidate-17: "))
    expect(node).to_be_visible(timeout=SLOW)
    assert page.evaluate(OUTSIDE_OF_THEIR_BOXES) == []
    node.click()
    expect(page.locator("#inspector")).to_contain_text("recommendations-of-others 2026-11-22-release-candidate-17")


def test_a_phone_shows_all_of_it(visitor: Visitor, fresh: Lab, assert_accessible: Accessible) -> None:
    fresh.pages(2)
    page = visitor(width=360, height=740)
    page.goto(fresh.watch)
    expect(page.locator(".row").first).to_be_visible(timeout=SLOW)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)


# --- a hostile page in the same browser -------------------------------------------------------------------------------

ATTACKS = """
async ({ target }) => {
  const tried = {};
  const attempt = async (name, action) => {
    try { tried[name] = await action(); } catch (error) { tried[name] = "failed"; }
  };
  const text = { method: "POST", body: "{}", mode: "no-cors" };
  const blob = new Blob(["{}"], { type: "text/plain" });
  const json = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
  await attempt("text", async () => (await fetch(target + "/api/reset", text)).type);
  await attempt("json", async () => (await fetch(target + "/api/reset", json)).status);
  await attempt("read", async () => (await fetch(target + "/api/scenarios")).text());
  await attempt("opaque", async () => (await (await fetch(target + "/api/scenarios", { mode: "no-cors" })).text()));
  await attempt("get", async () => (await fetch(target + "/api/reset", { mode: "no-cors" })).type);
  await attempt("beacon", async () => navigator.sendBeacon(target + "/api/reset", blob));
  await attempt("events", () => new Promise((done) => {
    const events = new EventSource(target + "/events");
    events.onopen = () => done("open");
    events.onerror = () => { events.close(); done("failed"); };
  }));
  await attempt("script", () => new Promise((done) => {
    const script = document.createElement("script");
    script.onload = () => done("loaded");
    script.onerror = () => done("failed");
    script.src = target + "/static/main.js";
    document.head.append(script);
  }));
  await attempt("form", () => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.name = "sink";
    const form = document.createElement("form");
    Object.assign(form, { method: "POST", action: target + "/api/reset", target: "sink", enctype: "text/plain" });
    frame.onload = () => done("sent");
    document.body.append(frame, form);
    form.submit();
  }));
  await attempt("frame", () => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { done(frame.contentDocument ? "blank" : "framed"); } catch { done("framed"); } };
    frame.src = target + "/";
    document.body.append(frame);
  }));
  return tried;
}
"""


CHANGE = """
async () => {
  const headers = { "content-type": "application/json" };
  return (await fetch("/api/reset", { method: "POST", body: "{}", headers })).status;
}
"""


class Hostile(BaseHTTPRequestHandler):
    """Somebody else's page."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Hostile</title><body>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def hostile() -> Iterator[int]:
    """The port of a hostile page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_another_page_of_the_browser_reads_nothing_and_changes_nothing(
    browser: Browser, fresh: Lab, hostile: int, name: str
) -> None:
    """From another site, and from another port of the same one, to which cookies and such would go."""
    fresh("apply", "-f", "istio/canary/reviews-80-20.yaml")
    context = browser.new_context()
    page = context.new_page()
    answers: list[tuple[str, int]] = []
    page.on("response", lambda answer: answers.append((answer.url, answer.status)))
    page.goto(f"http://{name}:{hostile}/")
    tried = page.evaluate(ATTACKS, {"target": fresh.watch})
    assert tried.pop("opaque") in ("", "failed")
    assert {key: value for key, value in tried.items() if value not in ("failed", "opaque", "sent", True)} == {
        key: value for key, value in tried.items() if key == "frame"
    }
    told = [(urlsplit(url).path, status) for url, status in answers if url.startswith(fresh.watch)]
    assert told
    assert all(status == 403 for _, status in told), told
    assert [frame for frame in page.frames if frame.locator("#graph-title").count()] == []
    context.close()
    assert "reviews" in fresh("get", "virtualservice", "reviews", "-o", "json")


def test_a_link_from_another_page_opens_it(visitor: Visitor, lab: Lab, hostile: int) -> None:
    page = visitor()
    page.goto(f"http://127.0.0.1:{hostile}/")
    page.evaluate("(target) => { location.href = target; }", lab.watch)
    expect(page.get_by_role("status").first).to_have_text("ready", timeout=SLOW)


def test_a_name_that_is_pointed_here_gets_nothing(browser: Browser, lab: Lab) -> None:
    """DNS rebinding, in a browser that takes evil.example for this machine."""
    port = urlsplit(lab.watch).port
    flags = [*FLAGS[:-1], "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    deceived = browser.browser_type.launch(executable_path=chromium_path(), args=flags)
    page = deceived.new_page()
    answer = page.goto(f"http://evil.example:{port}/")
    assert answer is not None
    assert answer.status == 403
    assert page.evaluate("async () => (await fetch('/api/scenarios')).status") == 403
    assert page.evaluate(CHANGE) == 403
    deceived.close()


def test_it_listens_on_loopback_alone(lab: Lab) -> None:
    port = urlsplit(lab.watch).port
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


# --- when the lab goes and comes back ---------------------------------------------------------------------------------


def test_a_page_that_was_left_open_finds_the_next_lab(browser: Browser, lab: Lab) -> None:
    """The last test: it stops the lab, and starts it again at the same place."""
    port = urlsplit(lab.watch).port
    page = browser.new_context().new_page()
    page.goto(lab.watch)
    state = page.get_by_role("status").first
    expect(state).to_have_text("ready")
    lab("down")
    expect(state).to_contain_text("no connection", timeout=SLOW)
    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
    lab("up", "--detach", "--gateway-port=0", f"--watch-port={port}")
    expect(state).to_have_text("ready", timeout=SLOW)
    page.context.close()
