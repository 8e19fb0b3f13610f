"""Real services: as ASGI applications that call each other without a network, and as processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

START_SECONDS = 30
STOP_SECONDS = 20


@dataclass(frozen=True)
class Service:
    """A service's process, and a client that reaches it."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    uds: str | None = None

    def client(self) -> httpx.Client:
        """A client with connections of its own; no proxies."""
        return httpx.Client(base_url=self.url, transport=httpx.HTTPTransport(uds=self.uds), timeout=STOP_SECONDS)

    def get(self, path: str) -> httpx.Response:
        """GET on a connection of its own."""
        with self.client() as client:
            return client.get(path)

    def listens(self) -> bool:
        """Whether a connection is taken; asked without httpx, which leaks a Unix socket that is refused."""
        with socket.socket(socket.AF_UNIX if self.uds else socket.AF_INET) as sock:
            return sock.connect_ex(self.uds or ("127.0.0.1", int(self.url.rpartition(":")[2]))) == 0

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(STOP_SECONDS)


Launch = Callable[..., Service]


def environment(**more: object) -> dict[str, str]:
    """The environment of a service: nothing of this process' but what Python and coverage need."""
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
    """Start a service's process with these variables and wait until it is ready; it is stopped after the test."""
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
def refused() -> Callable[..., tuple[int, str]]:
    """Start a service that is expected to refuse its start: exit code and what it wrote to standard error."""

    def _refused(name: str, **variables: object) -> tuple[int, str]:
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

    return _refused
