"""The watch page of a real lab: its content, its controls, and attacks from other pages."""

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

TIMEOUT = 30_000
"""Milliseconds. A busy machine is slow."""

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

OVERFLOWING_TEXTS = """
[...document.querySelectorAll(".boxes > g, .edges .label")].flatMap((group) => {
  const box = group.querySelector("rect").getBoundingClientRect();
  const overflows = (text) => text.right > box.right || text.left < box.left;
  return [...group.querySelectorAll("text")].filter((text) => overflows(text.getBoundingClientRect()))
    .map((text) => text.textContent);
})
"""

SHORTENED_TEXTS = """
[...document.querySelectorAll(".boxes text")].map((text) => text.textContent).filter((text) => text.endsWith("…"))
"""

USE_FONT = """
addEventListener("DOMContentLoaded", () => document.documentElement.style.setProperty("--serif", "FONT"));
addEventListener("DOMContentLoaded", () => { document.body.style.fontFamily = "FONT"; });
"""

FONTS = ["DejaVu Sans Mono", "DejaVu Serif"]
"""Wide fonts from the package fonts-dejavu-core."""


@dataclass(frozen=True)
class Lab:
    """A running lab."""

    environment: dict[str, str]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Return the output of a command."""
        command = [sys.executable, "-m", "bookinfo_lab", *arguments]
        return subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    @functools.cached_property
    def status(self) -> Any:
        return json.loads(self("status", "--json"))

    @property
    def watch(self) -> str:
        """The URL of the watch page."""
        address: str = self.status["watch"]
        return address

    def pages(self, count: int) -> None:
        """Request the product page."""
        for _ in range(count):
            with urllib.request.urlopen(self.status["url"], timeout=30) as response:
                response.read()


@pytest.fixture(scope="module")
def lab(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab. It is not started without a browser."""
    state = tmp_path_factory.mktemp("state")
    running = Lab({**os.environ, "XDG_STATE_HOME": str(state), "BOOKINFO_LAB": "watched"})
    try:
        envoy.find(running.environment)
    except LabError as error:
        pytest.skip(str(error))
    try:
        running("up", "--detach", "--gateway-port=0", "--watch-port=0")
        yield running
    finally:
        running("down")


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """The lab after a reset."""
    lab("reset")
    return lab


def edge(page: Page, source: str, destination: str):
    """Return an edge of the graph."""
    return page.get_by_role("button", name=re.compile(f"^{source} calls {destination}: "))


def test_graph_shows_every_version_before_the_first_request(visitor: Visitor, lab: Lab) -> None:
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
    expect(page.locator("#objects-total")).to_contain_text("unchanged since the start")


def test_load_from_the_page_draws_edges_with_shares(
    visitor: Visitor, fresh: Lab, assert_accessible: Accessible, picture: Picture
) -> None:
    fresh("apply", "-f", "istio/canary/reviews-80-20.yaml")
    page = visitor(width=1340, height=960)
    page.goto(fresh.watch)
    page.locator("#load-rps").fill("20")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#load-line")).to_contain_text("bookinfo load --rps 20", timeout=TIMEOUT)
    for source, destination in (
        ("ingressgateway", "productpage v1"),
        ("productpage v1", "details v1"),
        ("productpage v1", "reviews v1"),
        ("productpage v1", "reviews v2"),
        ("reviews v2", "ratings v1"),
    ):
        expect(edge(page, source, destination)).to_have_accessible_name(
            re.compile(r"\d/s, .* p99 [\d.]+ m?s, mutual TLS$"), timeout=TIMEOUT
        )
    expect(edge(page, "reviews v1", "ratings v1")).to_have_count(0)
    expect(page.locator("#graph-total")).to_contain_text(re.compile(r"1\d|2\d/s from outside"), timeout=TIMEOUT)
    for version, share in (("reviews v1", r"[78]\d %"), ("reviews v2", r"[12]\d %")):
        name = re.compile(f"{share} of its calls to that service")
        expect(edge(page, "productpage v1", version)).to_have_accessible_name(name, timeout=TIMEOUT)
    wide, narrow = (
        float(edge(page, "productpage v1", version).locator(".line").get_attribute("stroke-width") or 0)
        for version in ("reviews v1", "reviews v2")
    )
    assert wide > 1.5 * narrow, (wide, narrow)
    expect(page.locator("#objects button").first).to_have_accessible_name("VirtualService reviews new")

    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("region", name="Calls between services").get_by_role("row").nth(1)).to_contain_text(
        "productpage v1"
    )
    assert_accessible(page)
    page.get_by_text("Show as a table").click()
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#graph-total")).to_contain_text(re.compile(r"^(1[5-9]|2\d)/s"), timeout=TIMEOUT)
    expect(page.locator(".row").nth(12)).to_be_visible(timeout=TIMEOUT)
    picture(page, "watch")
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()


def test_details_of_an_edge_and_a_manifest_open_by_keyboard(visitor: Visitor, fresh: Lab) -> None:
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


def test_terminal_prints_the_same_graph(fresh: Lab) -> None:
    fresh.pages(3)
    graph = json.loads(fresh("graph", "--json"))
    edges = {(edge["source"], edge["destination"]): edge for edge in graph["edges"]}
    assert edges["default/productpage-v1", "default/details-v1"]["security"] == "mutual_tls"
    lines = fresh("graph").splitlines()
    assert any(re.match(r"productpage v1 +→ details v1 .* 100 % .* mutual TLS", line) for line in lines), lines


def test_scenario_step_is_checked_and_kept_until_the_reset(
    visitor: Visitor, fresh: Lab, assert_accessible: Accessible
) -> None:
    page = visitor(dark=True)
    page.goto(fresh.watch)
    page.get_by_role("combobox", name="Scenario").select_option(label="5. Fault injection: delays and errors")
    page.get_by_role("button", name="Go to step 2: Abort requests to ratings for jason").click()
    expect(page.locator("#scenario-result .summary")).to_have_text(
        re.compile(r"^(\d+) of \1 claims passed$"), timeout=120_000
    )
    expect(page.locator(".step.current h3")).to_have_text("Abort requests to ratings for jason")
    expect(page.locator("#objects")).to_contain_text("VirtualService ratings new")
    aborted = page.get_by_role("button", name=re.compile(r"^reviews v2 calls ratings: .*aborted"))
    expect(aborted).to_be_visible(timeout=TIMEOUT)
    aborted.press("Enter")
    expect(page.locator("#inspector")).to_contain_text("FI, aborted on purpose")
    assert_accessible(page)
    page.get_by_role("button", name="Reset the lab").click()
    expect(page.locator("#objects-total")).to_contain_text("unchanged since the start", timeout=TIMEOUT)


def test_stopped_scenario_restores_the_lab(visitor: Visitor, fresh: Lab) -> None:
    page = visitor()
    page.goto(fresh.watch)
    page.get_by_role("combobox", name="Scenario").select_option(label="4. Canary: release a version in steps")
    page.get_by_role("button", name="Verify all steps").click()
    expect(page.locator(".progress")).to_contain_text("canary 1/5", timeout=TIMEOUT)
    expect(page.get_by_role("button", name="Go to step 1: 10 %")).to_be_disabled()
    page.locator("#scenario-stop").click()
    expect(page.locator("#scenario-result .error")).to_have_text("stopped", timeout=60_000)
    expect(page.locator("#objects-total")).to_contain_text("unchanged since the start", timeout=TIMEOUT)


def test_headline_of_a_trace_names_the_slowest_span(visitor: Visitor, fresh: Lab) -> None:
    fresh("apply", "-f", "istio/routing/reviews-v2.yaml", "-f", "-", stdin=DELAY)
    fresh.pages(1)
    page = visitor()
    page.goto(fresh.watch)
    page.get_by_role("button", name="slowest").click()
    headline = page.locator(".headline")
    expect(headline).to_contain_text("reviews proxy, call /ratings/0 (delayed on purpose)", timeout=TIMEOUT)
    expect(headline).to_contain_text(re.compile(r"^/productpage took [1-9]\.\d\d s; (> )?[5-9]\d %"))
    slowest = page.locator(".row.slowest button")
    expect(slowest).to_contain_text("reviews proxy → /ratings/0 DI")
    slowest.click()
    expect(page.locator(".row.slowest .details")).to_contain_text("response_flags")
    output = fresh("trace", "--slowest")
    assert "(delayed on purpose)" in output.splitlines()[0]
    assert "reviews proxy → /ratings/0" in output


@pytest.mark.parametrize("font", FONTS)
def test_long_names_fit_their_boxes_in_any_font(visitor: Visitor, fresh: Lab, font: str) -> None:
    fresh("apply", "-f", "-", stdin=LONG)
    fresh.pages(5)
    page = visitor()
    page.add_init_script(USE_FONT.replace("FONT", font))
    page.goto(fresh.watch)
    node = page.get_by_role("button", name=re.compile("^recommendations-of-others 2026-11-22-release-candidate-17: "))
    expect(node).to_be_visible(timeout=TIMEOUT)
    expect(edge(page, "productpage v1", "details v1")).to_be_visible(timeout=TIMEOUT)
    assert (
        page.locator(".boxes text.service").first.evaluate("text => getComputedStyle(text).fontFamily") == f'"{font}"'
    )
    assert page.evaluate(OVERFLOWING_TEXTS) == []
    assert any(text.startswith("recomm") for text in page.evaluate(SHORTENED_TEXTS))
    node.click()
    expect(page.locator("#inspector")).to_contain_text("recommendations-of-others 2026-11-22-release-candidate-17")


def test_page_fits_a_phone(visitor: Visitor, fresh: Lab, assert_accessible: Accessible) -> None:
    fresh.pages(2)
    page = visitor(width=360, height=740)
    page.goto(fresh.watch)
    expect(page.locator(".row").first).to_be_visible(timeout=TIMEOUT)
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
    """The page of another site."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Hostile</title><body>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def hostile() -> Iterator[int]:
    """Serve a hostile page and return its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_page_of_another_site_can_neither_read_nor_change(
    browser: Browser, fresh: Lab, hostile: int, name: str
) -> None:
    """From another site, and from another port of the same site, to which the browser sends cookies."""
    fresh("apply", "-f", "istio/canary/reviews-80-20.yaml")
    context = browser.new_context()
    page = context.new_page()
    responses: list[tuple[str, int]] = []
    page.on("response", lambda response: responses.append((response.url, response.status)))
    page.goto(f"http://{name}:{hostile}/")
    tried = page.evaluate(ATTACKS, {"target": fresh.watch})
    assert tried.pop("opaque") in ("", "failed")
    assert {key: value for key, value in tried.items() if value not in ("failed", "opaque", "sent", True)} == {
        key: value for key, value in tried.items() if key == "frame"
    }
    own = [(urlsplit(url).path, status) for url, status in responses if url.startswith(fresh.watch)]
    assert own
    assert all(status == 403 for _, status in own), own
    assert [frame for frame in page.frames if frame.locator("#graph-title").count()] == []
    context.close()
    assert "reviews" in fresh("get", "virtualservice", "reviews", "-o", "json")


def test_link_from_another_site_opens_the_page(visitor: Visitor, lab: Lab, hostile: int) -> None:
    page = visitor()
    page.goto(f"http://127.0.0.1:{hostile}/")
    page.evaluate("(target) => { location.href = target; }", lab.watch)
    expect(page.get_by_role("status").first).to_have_text("ready", timeout=TIMEOUT)


def test_foreign_host_name_is_rejected(browser: Browser, lab: Lab) -> None:
    """DNS rebinding, in a browser that resolves evil.example to this machine."""
    port = urlsplit(lab.watch).port
    flags = [*FLAGS[:-1], "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    deceived = browser.browser_type.launch(executable_path=chromium_path(), args=flags)
    page = deceived.new_page()
    response = page.goto(f"http://evil.example:{port}/")
    assert response is not None
    assert response.status == 403
    assert page.evaluate("async () => (await fetch('/api/scenarios')).status") == 403
    assert page.evaluate(CHANGE) == 403
    deceived.close()


def test_page_listens_only_on_loopback(lab: Lab) -> None:
    port = urlsplit(lab.watch).port
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


# --- when the lab goes and comes back ---------------------------------------------------------------------------------


def test_open_page_reconnects_to_the_next_lab(browser: Browser, lab: Lab) -> None:
    """This is the last test: it stops the lab, and starts it again on the same port."""
    port = urlsplit(lab.watch).port
    page = browser.new_context().new_page()
    page.goto(lab.watch)
    state = page.get_by_role("status").first
    expect(state).to_have_text("ready")
    lab("down")
    expect(state).to_contain_text("no connection", timeout=TIMEOUT)
    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
    lab("up", "--detach", "--gateway-port=0", f"--watch-port={port}")
    expect(state).to_have_text("ready", timeout=TIMEOUT)
    page.context.close()
