"""The services as processes, a fake mesh that each test controls, and a browser without a network."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PICTURES = ROOT / "docs" / "images"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
START_SECONDS = 60.0
FLAGS = [
    "--no-sandbox",  # Chromium has no sandbox as root; it loads only the page under test
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    # Disabling the network with Playwright's routes would disable the browser's cache.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]

PODS = {
    "details-v1": "details-v1-6cf8d5c7b9-m4x2k",
    "ratings-v1": "ratings-v1-84d7c9f5b6-q8w5z",
    "reviews-v1": "reviews-v1-7f6b9d8c4d-t2n7h",
    "reviews-v2": "reviews-v2-5b8c7d6f9c-j9r4v",
    "reviews-v3": "reviews-v3-69d5f7b8cf-k3p6s",
    "productpage-v1": "productpage-v1-5d9f8c7b6d-w7c2l",
}
TRACES = "http://127.0.0.1:9/trace/{trace_id}"


# --- the services -----------------------------------------------------------------------------------------------------


@dataclass
class FakeMesh:
    """Routes the calls to each service: to its workloads in turn, or to a failure."""

    ports: dict[str, int]
    to: dict[str, list[str]] = field(default_factory=dict)
    turns: dict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(count))
    released: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Every call: the workload and the request headers."""

    def reset(self, reviews: str = "reviews-v2") -> None:
        """Route every service to a working workload."""
        self.to = {"details": ["details-v1"], "ratings": ["ratings-v1"], "reviews": [reviews]}
        self.calls.clear()
        self.released.clear()

    def handle(self, call: "Call") -> None:
        """Handle a call as the test defines."""
        service = urlsplit(call.path).hostname or ""
        choices = self.to[service]
        target = choices[next(self.turns[service]) % len(choices)]
        self.calls.append((target, {name.lower(): value for name, value in call.headers.items()}))
        match target:
            case "503":  # Envoy's response without a healthy upstream
                call.reply(503, b"no healthy upstream")
            case "no response":
                self.released.wait(30)
                call.close_connection = True
            case "invalid response":
                call.reply(200, b"<html>busy</html>")
            case "hostile":
                call.reply(200, json.dumps(HOSTILE[service]).encode())
            case workload:
                call.forward(self.ports[workload])


class Call(BaseHTTPRequestHandler):
    """A call to the services' HTTP proxy, which replaces a sidecar."""

    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def do_GET(self) -> None:
        self.server.mesh.handle(self)

    def forward(self, port: int) -> None:
        """Forward the call to the service on `port`."""
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", urlsplit(self.path).path, headers=dict(self.headers.items()))
        response = connection.getresponse()
        self.reply(response.status, response.read(), dict(response.getheaders()))
        connection.close()

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send this response."""
        self.send_response_only(status)
        for name, value in (headers or {"content-length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Proxy(ThreadingHTTPServer):
    """Serves the calls of a fake mesh."""

    daemon_threads = True

    def __init__(self, mesh: FakeMesh) -> None:
        self.mesh = mesh
        super().__init__(("127.0.0.1", 0), Call)


MARKUP = "</p><script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
HOSTILE = {
    "details": {
        "id": 0,
        "author": MARKUP,
        "year": 1595,
        "type": MARKUP,
        "pages": 1,
        "publisher": "'\"><b>",
        "language": "{{ 7 * 7 }}",
        "ISBN-10": "javascript:alert(1)",
        "ISBN-13": "x" * 300,
    },
    "reviews": {
        "id": "0",
        "podname": MARKUP,
        "clustername": MARKUP,
        "reviews": [{"reviewer": MARKUP, "text": MARKUP, "rating": {"stars": 3, "color": "red' onmouseover='x"}}],
    },
}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def start(workload: str, port: int, proxy: int) -> subprocess.Popen[bytes]:
    """Start a service as its image does."""
    service, _, version = workload.partition("-")
    environment = {
        "PATH": os.defpath,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "VERSION": version,
        "HOSTNAME": PODS[workload],
        "HTTP_PROXY": f"http://127.0.0.1:{proxy}",
        "LOG_LEVEL": "error",
        "DRAIN_SECONDS": "0",
        "SESSION_SECRET": "for the browser tests",
        "TRACE_URL_TEMPLATE": TRACES,
    } | {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return subprocess.Popen([sys.executable, "-m", f"bookinfo_{service}"], env=environment)


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until /readyz returns 200."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{process.args} is not ready after {START_SECONDS:g} s")


@pytest.fixture(scope="session")
def bookinfo(browser: Browser) -> Iterator[FakeMesh]:
    """The six workloads as processes. They are not started without a browser."""
    mesh = FakeMesh({workload: free_port() for workload in PODS})
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(mesh))
        stack.callback(proxy.shutdown)
        stack.callback(mesh.released.set)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        processes = {workload: start(workload, port, proxy.server_port) for workload, port in mesh.ports.items()}
        for process in processes.values():
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        for workload, process in processes.items():
            wait_until_ready(process, mesh.ports[workload])
        yield mesh


@pytest.fixture
def mesh(bookinfo: FakeMesh) -> Iterator[FakeMesh]:
    """The mesh with every service working."""
    bookinfo.reset()
    yield bookinfo
    bookinfo.released.set()


@pytest.fixture
def url(mesh: FakeMesh) -> str:
    """The URL of productpage."""
    return f"http://127.0.0.1:{mesh.ports['productpage-v1']}"


# --- the browser ------------------------------------------------------------------------------------------------------


def chromium_path() -> str | None:
    """Return the path of the system's Chromium or Chrome."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests here if there is no browser, so that the reason is reported once per file."""
    if chromium_path() is None:
        skip = pytest.mark.skip(reason="Chromium not found; run `apt-get install chromium`, or install Google Chrome")
        for item in items:
            if item.path.parent == HERE and "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield chromium
        chromium.close()


Visitor = Callable[..., Page]
"""Opens a tab: `visitor(width=320, dark=True, scripts=False, headers={...})`."""


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Open tabs without a network. Console messages, failed requests and requests to other hosts fail the test."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def check_host(request: Request) -> None:
        if urlsplit(request.url).hostname not in LOOPBACK:
            problems.append(f"request to {request.url}")

    def failed(request: Request) -> None:
        # A closed tab aborts the loading of its icon.
        if request.failure != "net::ERR_ABORTED":
            problems.append(f"failed: {request.url} {request.failure}")

    def visit(
        width: int = 1280,
        height: int = 800,
        *,
        dark: bool = False,
        scripts: bool = True,
        headers: dict[str, str] | None = None,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=scripts,
            extra_http_headers=headers or {},
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.on("request", check_host)
        page = context.new_page()
        page.on("console", lambda message: problems.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("requestfailed", failed)
        page.on(
            "response",
            lambda response: problems.append(f"{response.status}: {response.url}") if response.status >= 400 else None,
        )
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def assert_accessible() -> Callable[[Page], None]:
    """Check a page with all rules of axe-core."""

    def check(page: Page) -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()

    return check


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Take a screenshot for the documentation if BOOKINFO_SCREENSHOTS=1."""

    def take(page: Page, name: str) -> None:
        if os.environ.get("BOOKINFO_SCREENSHOTS") == "1":
            session = page.context.new_cdp_session(
                page
            )  # Playwright cannot write WebP, which is a third of the size of PNG
            shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 90})
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))

    return take
