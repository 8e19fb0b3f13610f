"""Real services: as ASGI applications that call each other without a network, and as processes."""

import asyncio
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI

from bookinfo_chassis.client import Upstream
from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_details.app import create_app as create_details
from bookinfo_details.settings import Settings as DetailsSettings
from bookinfo_productpage.app import create_app as create_productpage
from bookinfo_productpage.backends import Backends
from bookinfo_productpage.settings import Settings as ProductpageSettings
from bookinfo_ratings.app import create_app as create_ratings
from bookinfo_ratings.settings import Settings as RatingsSettings
from bookinfo_reviews.app import create_app as create_reviews
from bookinfo_reviews.ratings_client import RatingsClient
from bookinfo_reviews.settings import Settings as ReviewsSettings

Result = TypeVar("Result")

START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True)
class Service:
    """The process of a service, and a client for it."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    uds: str | None = None

    def client(self) -> httpx.Client:
        """Return a client with its own connections and no proxies."""
        return httpx.Client(base_url=self.url, transport=httpx.HTTPTransport(uds=self.uds), timeout=STOP_SECONDS)

    def get(self, path: str) -> httpx.Response:
        """GET on a new connection."""
        with self.client() as client:
            return client.get(path)

    def listens(self) -> bool:
        """Return whether the service accepts connections. httpx would leak a refused Unix socket."""
        with socket.socket(socket.AF_UNIX if self.uds else socket.AF_INET) as sock:
            return sock.connect_ex(self.uds or ("127.0.0.1", int(self.url.rpartition(":")[2]))) == 0

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(STOP_SECONDS)


Launch = Callable[..., Service]


def environment(**more: object) -> dict[str, str]:
    """Return the environment of a service: only the variables that Python and coverage need, and `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME", "LANG"} or name.startswith(("PYTHON", "COVERAGE", "COV_"))
    }
    return kept | {name: str(value) for name, value in more.items()}


@pytest.fixture
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def launch(tmp_path: Path, free_port: int) -> Iterator[Launch]:
    """Start the process of a service and wait until it is ready. It is stopped after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def _launch(name: str, **variables: object) -> Service:
        variables = {"PORT": free_port, "DRAIN_SECONDS": 0} | variables
        log = tmp_path / f"{name}-{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"bookinfo_{name}"],
                env=environment(**variables),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        uds = str(variables["UDS"]) if "UDS" in variables else None
        service = Service(process, f"http://127.0.0.1:{variables['PORT']}", log, uds)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if service.listens() and service.get("/readyz").status_code == 200:
                return service
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        pytest.fail(f"{name} is not ready after {START_SECONDS} s: {log.read_text()}")

    yield _launch
    for process in started:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def failing_start() -> Callable[..., tuple[int, str]]:
    """Start a service that must exit with an error. Return its exit code and its standard error."""

    def _failing_start(name: str, **variables: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", f"bookinfo_{name}"],
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    return _failing_start


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time: if all tasks wait, the time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self._loop.now += timeout
        return events


class Mesh(httpx.AsyncBaseTransport):
    """A transport that calls all services by name in this process."""

    def __init__(
        self,
        reviews: str = "v2",
        ratings: str = "v1",
        delays: Mapping[str, int] | None = None,
        **more: Any,
    ) -> None:
        """Create the services with these versions, delays in milliseconds by service, and settings of ratings."""
        delay = Counter(delays or {})
        self.seconds = 0.0
        self.seen: list[tuple[str, list[tuple[bytes, bytes]]]] = []
        self.apps: dict[str, FastAPI] = {
            "details": create_details(DetailsSettings.load(fault_delay_ms=delay["details"])),
            "reviews": create_reviews(
                ReviewsSettings.load(
                    version=reviews, hostname=f"reviews-{reviews}-pod", fault_delay_ms=delay["reviews"]
                ),
                self,
            ),
            "ratings": create_ratings(RatingsSettings.load(version=ratings, fault_delay_ms=delay["ratings"], **more)),
            "productpage": create_productpage(ProductpageSettings.load(session_secret="a key of enough length"), self),
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host not in self.apps:
            raise httpx.ConnectError("unknown service", request=request)
        self.seen.append((request.url.host, list(request.headers.raw)))
        return await httpx.ASGITransport(self.apps[request.url.host]).handle_async_request(request)

    def ratings_client(self) -> RatingsClient:
        """Return the client that reviews uses."""
        return RatingsClient(Upstream("http://ratings:9080", self, 10, ServiceMetrics.create().calls))

    def backends(self) -> Backends:
        """Return the clients that productpage uses."""
        urls = {name: f"http://{name}:9080" for name in ("details", "reviews", "ratings")}
        return Backends(urls, self, ServiceMetrics.create())

    def run(self, scenario: Callable[[], Awaitable[Result]]) -> Result:
        """Run `scenario` while all services run, in virtual time. `seconds` is its duration."""

        async def running() -> Result:
            async with AsyncExitStack() as stack:
                for app in self.apps.values():
                    await stack.enter_async_context(app.router.lifespan_context(app))
                return await scenario()

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            began = runner.get_loop().time()
            result = runner.run(running())
            self.seconds = runner.get_loop().time() - began
            return result

    def browse(self, path: str = "/productpage", **headers: str) -> httpx.Response:
        """GET a path of productpage."""

        async def scenario() -> httpx.Response:
            async with httpx.AsyncClient(transport=self, base_url="http://productpage") as browser:
                return await browser.get(path, headers=headers)

        return self.run(scenario)


@pytest.fixture
def make_mesh() -> type[Mesh]:
    """The class `Mesh`."""
    return Mesh
