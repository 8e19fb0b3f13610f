"""The two chains that are compared: the services as they are, and the floor. Same shape, same address, same Python."""

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

from benchmarks.wire import Answer, Connection, get_request

REPOSITORY = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Hop:
    """A service in the chain: what it is asked for, and whom it asks then."""

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
"""Callees before their callers, so that this is an order of start too."""

ENTRY = HOPS[-1]
Ports = Mapping[str, int]


class BenchmarkError(Exception):
    """No figures can be had. The message says why."""


def service_command(hop: Hop) -> list[str]:
    """Starts a real service."""
    return [sys.executable, "-m", f"bookinfo_{hop.name}"]


def service_environment(hop: Hop, ports: Ports) -> dict[str, str]:
    """Configures a real service: the documented variables, and nothing of the caller's environment but PATH."""
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
    for callee in hop.calls:
        environment[f"{callee.upper()}_HOSTNAME"] = HOST
        environment[f"{callee.upper()}_SERVICE_PORT"] = str(ports[callee])
    return environment


def floor_command(hop: Hop, ports: Ports, answers: Path) -> list[str]:
    """Starts a service of the floor."""
    paths = {each.name: each.path for each in HOPS}
    peers = [f"{ports[callee]}{paths[callee]}" for callee in hop.calls]
    return [sys.executable, "-m", "benchmarks.floor", hop.name, str(ports[hop.name]), str(answers), *peers]


class Process:
    """A started service. Stop it: nothing else will."""

    def __init__(self, name: str, port: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self.started = time.perf_counter()
        self._popen = subprocess.Popen(  # noqa: S603 - commands of our own making
            command, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    async def first_answer(self, path: str) -> tuple[Answer, float]:
        """The first 200 for `path`, and the seconds from the process' start to it. Raises `BenchmarkError`."""
        request = get_request(HOST, path)
        while time.perf_counter() - self.started < START_SECONDS:
            if self._popen.poll() is not None:
                raise BenchmarkError(f"{self.name} ended at its start with exit code {self._popen.returncode}")
            try:
                connection = await Connection.open(HOST, self.port)
            except OSError:
                await asyncio.sleep(POLL_SECONDS)
                continue
            answer = await connection.request(request)
            seconds = time.perf_counter() - self.started
            connection.close()
            if answer.status == 200:
                return answer, seconds
        raise BenchmarkError(f"{self.name} gave no 200 for {path} within {START_SECONDS:g} s")

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class Chain:
    """Four running services, and what each answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ports = free_ports()
        self.processes: dict[str, Process] = {}
        self.answers: dict[str, Answer] = {}

    @classmethod
    async def of_services(cls, name: str = "bookinfo", more: Mapping[str, str] | None = None) -> Self:
        """Bookinfo, with `more` environment."""
        chain = cls(name)
        await chain._start({hop: service_command(hop) for hop in HOPS}, more or {})
        return chain

    @classmethod
    async def of_floor(cls, answers: Path) -> Self:
        """The floor, giving the answers that stand in the file `answers`."""
        chain = cls("floor")
        await chain._start({hop: floor_command(hop, chain.ports, answers) for hop in HOPS}, {})
        return chain

    async def _start(self, commands: Mapping[Hop, list[str]], more: Mapping[str, str]) -> None:
        try:
            for hop, command in commands.items():
                environment = {**service_environment(hop, self.ports), **more}
                process = Process(hop.name, self.ports[hop.name], command, environment)
                self.processes[hop.name] = process
                self.answers[hop.name], _ = await process.first_answer(hop.path)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all four, callers first."""
        for process in reversed(self.processes.values()):
            process.stop()


def free_ports() -> dict[str, int]:
    """A free port of the loopback interface for each service."""
    sockets = {hop.name: socket.create_server((HOST, 0)) for hop in HOPS}
    ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    for sock in sockets.values():
        sock.close()
    return ports
