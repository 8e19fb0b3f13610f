"""The two chains that are compared: the services and the floor, with the same calls, address and Python."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.wire import Connection, Response, get_request

REPOSITORY = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Hop:
    """A service of the chain: its path, the services that it calls, and its environment."""

    name: str
    path: str
    calls: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


HOPS = (
    Hop("ratings", "/ratings/0"),
    Hop("details", "/details/0"),
    Hop("reviews", "/reviews/0", calls=("ratings",), environment=(("VERSION", "v3"),)),
    Hop("productpage", "/productpage", calls=("details", "reviews")),
)
"""Called services before their callers: this is also the order of start."""

ENTRY = HOPS[-1]
Ports = Mapping[str, int]


class BenchmarkError(Exception):
    """Correct figures cannot be measured. The message contains the cause."""


def service_command(hop: Hop) -> list[str]:
    """Return the command of a real service."""
    return [sys.executable, "-m", f"bookinfo_{hop.name}"]


def service_environment(hop: Hop, ports: Ports) -> dict[str, str]:
    """Return the environment of a real service: documented variables, and PATH of this process."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOST": HOST,
        "PORT": str(ports[hop.name]),
        "HOSTNAME": "benchmark",
        "LOG_LEVEL": "warning",
        "DRAIN_SECONDS": "0",
        "SESSION_SECRET": "only for the benchmark",
        **dict(hop.environment),
    }
    for called in hop.calls:
        environment[f"{called.upper()}_HOSTNAME"] = HOST
        environment[f"{called.upper()}_SERVICE_PORT"] = str(ports[called])
    return environment


def floor_command(hop: Hop, ports: Ports, responses: Path) -> list[str]:
    """Return the command of a service of the floor."""
    paths = {each.name: each.path for each in HOPS}
    backends = [f"{ports[called]}{paths[called]}" for called in hop.calls]
    return [sys.executable, "-m", "benchmarks.floor", hop.name, str(ports[hop.name]), str(responses), *backends]


class Process:
    """The process of a service. The caller must stop it."""

    def __init__(self, name: str, port: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self.started = time.perf_counter()
        self._popen = subprocess.Popen(  # noqa: S603 - trusted commands
            command, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    async def first_response(self, path: str) -> tuple[Response, float]:
        """Return the first 200 response for `path`, and the seconds since the start. Raises `BenchmarkError`."""
        request = get_request(HOST, path)
        while time.perf_counter() - self.started < START_SECONDS:
            if self._popen.poll() is not None:
                raise BenchmarkError(f"{self.name} exited with {self._popen.returncode} during its start")
            try:
                connection = await Connection.open(HOST, self.port)
            except OSError:
                await asyncio.sleep(POLL_SECONDS)
                continue
            response = await connection.request(request)
            seconds = time.perf_counter() - self.started
            connection.close()
            if response.status == 200:
                return response, seconds
        raise BenchmarkError(f"{self.name} did not return 200 for {path} within {START_SECONDS:g} s")

    def stop(self) -> None:
        """Terminate the process and wait until it exits."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class Chain:
    """Four running services, and the first response of each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ports = free_ports()
        self.processes: dict[str, Process] = {}
        self.responses: dict[str, Response] = {}

    @classmethod
    async def start_services(cls, name: str = "bookinfo", more: Mapping[str, str] | None = None) -> Self:
        """Start Bookinfo with the additional environment `more`."""
        chain = cls(name)
        await chain._start({hop: service_command(hop) for hop in HOPS}, more or {})
        return chain

    @classmethod
    async def start_floor(cls, responses: Path) -> Self:
        """Start the floor. It sends the responses in the file `responses`."""
        chain = cls("floor")
        await chain._start({hop: floor_command(hop, chain.ports, responses) for hop in HOPS}, {})
        return chain

    async def _start(self, commands: Mapping[Hop, list[str]], more: Mapping[str, str]) -> None:
        try:
            for hop, command in commands.items():
                environment = {**service_environment(hop, self.ports), **more}
                process = Process(hop.name, self.ports[hop.name], command, environment)
                self.processes[hop.name] = process
                self.responses[hop.name], _ = await process.first_response(hop.path)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all services, callers first."""
        for process in reversed(self.processes.values()):
            process.stop()


def free_ports() -> dict[str, int]:
    """Return a free loopback port for each service."""
    sockets = {hop.name: socket.create_server((HOST, 0)) for hop in HOPS}
    ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    for sock in sockets.values():
        sock.close()
    return ports
