"""The four services as processes, exporting to a real OTLP receiver over the wire."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from bookinfo_lab.observe.otlp import receiver
from bookinfo_lab.observe.spans import Span, SpanStore

DEADLINE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Collector:
    """An OTLP receiver on a free port."""

    def __init__(self) -> None:
        self.store = SpanStore()
        self.port = free_port()
        app = Starlette(routes=[receiver(self.store)])
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()

    def wait_for(self, trace_id: str, spans: int) -> list[Span]:
        """Wait for this number of spans of a trace, and then 0.6 s longer to detect further spans."""
        deadline = time.monotonic() + DEADLINE
        while len(self.store.trace(trace_id)) < spans and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.6)  # three times the delay of an export
        return self.store.trace(trace_id)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@dataclass(frozen=True)
class Services:
    """The ports of the services."""

    ports: Mapping[str, int]
    collector: Collector

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}{path}"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.stop()


class Echo:
    """A fake ratings service that records the headers of each request."""

    def __init__(self) -> None:
        self.headers: list[Mapping[str, str]] = []
        self.port = free_port()
        recorded = self.headers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                recorded.append({name.lower(): value for name, value in self.headers.items()})
                body = b'{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}'
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    found = Echo()
    yield found
    found.stop()


@pytest.fixture
def start_service(collector: Collector) -> Iterator[Callable[..., str]]:
    """Start one service with these variables. Return its base URL."""
    processes = []

    def launch(service: str, **variables: str) -> str:
        port = free_port()
        endpoint = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        processes.append(start(service, port, endpoint | variables))
        until_ready(f"http://127.0.0.1:{port}/readyz")
        return f"http://127.0.0.1:{port}"

    yield launch
    for process in processes:
        process.terminate()
    assert [process.wait(timeout=10) for process in processes] == [0] * len(processes)


def start(service: str, port: int, env: Mapping[str, str], stderr: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"bookinfo_{service}"]
    keep = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "COVERAGE_"))}
    return subprocess.Popen(
        command,
        stderr=stderr,
        env=keep | {"HOST": "127.0.0.1", "PORT": str(port), "DRAIN_SECONDS": "0", "LOG_LEVEL": "error"} | dict(env),
    )


def until_ready(url: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"{url} is not ready")


@pytest.fixture(scope="module")
def services(collector: Collector) -> Iterator[Services]:
    """productpage, details, ratings, and reviews in three versions (productpage calls v3)."""
    names = ("productpage", "details", "ratings", "reviews-v1", "reviews-v2", "reviews-v3")
    ports = {name: free_port() for name in names}
    neighbors = {
        "DETAILS_HOSTNAME": "127.0.0.1",
        "DETAILS_SERVICE_PORT": str(ports["details"]),
        "REVIEWS_HOSTNAME": "127.0.0.1",
        "REVIEWS_SERVICE_PORT": str(ports["reviews-v3"]),
        "RATINGS_HOSTNAME": "127.0.0.1",
        "RATINGS_SERVICE_PORT": str(ports["ratings"]),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "SESSION_SECRET": "only-for-this-test",
    }
    processes = []
    for name in names:
        service, _, version = name.partition("-")
        processes.append(
            start(service, ports[name], neighbors | {"VERSION": version or "v1", "HOSTNAME": f"{name}-pod"})
        )
    try:
        for name in names:
            until_ready(f"http://127.0.0.1:{ports[name]}/readyz")
        yield Services(ports, collector)
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(timeout=15) for process in processes]
    assert codes == [0] * len(codes)
