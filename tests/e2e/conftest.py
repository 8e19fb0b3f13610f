"""The services as real processes, a mesh that does what a test says, and a browser that reaches nothing else."""

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
    "--no-sandbox",  # as root Chromium has none; it loads nothing here but the page
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    # The network is cut here and not by Playwright's routes: those would switch off the browser's cache.
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
class Mesh:
    """Where each service's calls go. A service has its workloads, in turns, or something that happens instead."""

    ports: dict[str, int]
    to: dict[str, list[str]] = field(default_factory=dict)
    turns: dict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(count))
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Every call: the workload, and the headers that it was sent."""

    def reset(self, reviews: str = "reviews-v2") -> None:
        """All is well."""
        self.to = {"details": ["details-v1"], "ratings": ["ratings-v1"], "reviews": [reviews]}
        self.asked.clear()
        self.released.clear()

    def answer(self, call: "Call") -> None:
        """Do with a call what the test said."""
        service = urlsplit(call.path).hostname or ""
        choices = self.to[service]
        target = choices[next(self.turns[service]) % len(choices)]
        self.asked.append((target, {name.lower(): value for name, value in call.headers.items()}))
        match target:
            case "503":  # as Envoy's answer where nobody can be reached
                call.reply(503, b"no healthy upstream")
            case "silence":
                self.released.wait(30)
                call.close_connection = True
            case "nonsense":
                call.reply(200, b"<html>busy</html>")
            case "hostile":
                call.reply(200, json.dumps(HOSTILE[service]).encode())
            case workload:
                call.forward(self.ports[workload])


class Call(BaseHTTPRequestHandler):
    """A call that came to the services' HTTP proxy, which is where a sidecar would be."""

    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def do_GET(self) -> None:
        self.server.mesh.answer(self)

    def forward(self, port: int) -> None:
        """Let the service behind `port` answer."""
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", urlsplit(self.path).path, headers=dict(self.headers.items()))
        answer = connection.getresponse()
        self.reply(answer.status, answer.read(), dict(answer.getheaders()))
        connection.close()

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send this answer."""
        self.send_response_only(status)
        for name, value in (headers or {"content-length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


class Proxy(ThreadingHTTPServer):
    """Serves `Call`s for a `Mesh`."""

    daemon_threads = True

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        super().__init__(("127.0.0.1", 0), Call)


NASTY = "</p><script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
HOSTILE = {
    "details": {
        "id": 0,
        "author": NASTY,
        "year": 1595,
        "type": NASTY,
        "pages": 1,
        "publisher": "'\"><b>",
        "language": "{{ 7 * 7 }}",
        "ISBN-10": "javascript:alert(1)",
        "ISBN-13": "x" * 300,
    },
    "reviews": {
        "id": "0",
        "podname": NASTY,
        "clustername": NASTY,
        "reviews": [{"reviewer": NASTY, "text": NASTY, "rating": {"stars": 3, "color": "red' onmouseover='x"}}],
    },
}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def start(workload: str, port: int, proxy: int) -> subprocess.Popen[bytes]:
    """A service as its image would start it."""
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
        "SESSION_SECRET": "only for the browser's tests",
        "TRACE_URL_TEMPLATE": TRACES,
    } | {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return subprocess.Popen([sys.executable, "-m", f"bookinfo_{service}"], env=environment)


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once it answers /readyz with 200."""
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
def bookinfo(browser: Browser) -> Iterator[Mesh]:
    """The six workloads, running; not without a browser to look at them."""
    mesh = Mesh({workload: free_port() for workload in PODS})
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
def mesh(bookinfo: Mesh) -> Iterator[Mesh]:
    """All is well at first, whatever the test before did."""
    bookinfo.reset()
    yield bookinfo
    bookinfo.released.set()


@pytest.fixture
def url(mesh: Mesh) -> str:
    """productpage's address."""
    return f"http://127.0.0.1:{mesh.ports['productpage-v1']}"


# --- the browser ------------------------------------------------------------------------------------------------------


def chromium_path() -> str | None:
    """The system's Chromium or Chrome."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser, skip here and not in the fixture: so the reason is told once a file and not once a test."""
    if chromium_path() is None:
        skip = pytest.mark.skip(reason="no Chromium on this machine: `apt-get install chromium`, or Google Chrome")
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
"""Opens a tab of its own: `visitor(width=320, dark=True, scripts=False, headers={...})`."""


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Tabs with the network cut. Each must end without a console message, a failed request or a call to elsewhere."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(request: Request) -> None:
        if urlsplit(request.url).hostname not in LOOPBACK:
            complaints.append(f"asked for {request.url}")

    def failed(request: Request) -> None:
        # A tab that is closed, or goes on, gives up the icon that it was still loading.
        if request.failure != "net::ERR_ABORTED":
            complaints.append(f"failed: {request.url} {request.failure}")

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
        context.on("request", note)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        page.on("requestfailed", failed)
        page.on(
            "response",
            lambda answer: complaints.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None,
        )
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def assert_accessible() -> Callable[[Page], None]:
    """Holds a page against all of axe-core's rules."""

    def check(page: Page) -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()

    return check


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Keeps a screenshot for the documentation, when BOOKINFO_SCREENSHOTS=1 asks for it."""

    def take(page: Page, name: str) -> None:
        if os.environ.get("BOOKINFO_SCREENSHOTS") == "1":
            session = page.context.new_cdp_session(page)  # Playwright itself writes no WebP, a third of PNG's size
            shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 90})
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))

    return take
