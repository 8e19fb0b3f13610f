"""A process that is kept running, and whether it is ready."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bookinfo_lab.runtime import processes
from bookinfo_lab.runtime.processes import Process

State = Literal["starting", "ready", "unready", "backing off", "stopped"]
Probe = Callable[[], Awaitable[bool]]

_PROBE_PERIOD_STARTING = 0.05
_PROBE_PERIOD = 1.0
_FAILURES_UNTIL_UNREADY = 3
"""Probes that may fail in a row, as a pod's readinessProbe has it by default (failureThreshold)."""

_BACK_OFF_LONGEST = 30.0
_STABLE_SECONDS = 30.0
"""A process that ran for so long is restarted without delay when it ends."""


@dataclass(frozen=True)
class Launch:
    """How to start a process."""

    name: str
    start: Callable[[], Awaitable[Process]]  # raises OSError if it cannot be
    log: Path
    socket: Path  # the Unix socket that it makes; what an earlier run left of it is removed


class Supervised:
    """Starts a process, starts it again when it ends, and watches its readiness until `stop`."""

    def __init__(
        self, launch: Launch, probe: Probe, on_change: Callable[[], None], report: Callable[[str], None]
    ) -> None:
        """`on_change` is called whenever `state` changes, `report` with a line for the user when the process ends."""
        self.launch = launch
        self.state: State = "starting"
        self.restarts = 0
        self.deaths = 0
        self.failure = ""
        """How it ended the last time, and what it said, in one line."""
        self._probe = probe
        self._on_change = on_change
        self._report = report
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The running process, if it runs."""
        return self._process.pid if self._process else None

    @property
    def ready(self) -> bool:
        """Whether it runs and says that it is ready."""
        return self.state == "ready"

    def start(self) -> None:
        """Start the process now, and watch it in a task of its own."""
        self._task = asyncio.create_task(self._keep_running(), name=self.launch.name)

    async def stop(self, grace: float) -> None:
        """End the process (SIGTERM, after `grace` seconds SIGKILL) and restart it no more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._process:
            await self._process.stop(grace)
        self._process = None
        self._become("stopped")

    def kill(self) -> None:
        """End the process at once, and restart it no more; `stop` is still to be called."""
        if self._task:
            self._task.cancel()
        if self._process:
            self._process.kill()

    async def _keep_running(self) -> None:
        back_off = 0.0
        told: list[str] = []
        while True:
            began = time.monotonic()
            written = processes.size(self.launch.log)
            how = await self._run_once()
            lines = processes.cause(self.launch.log, written)
            self.deaths += 1
            self.failure = f"{how}: {' | '.join(lines)}" if lines else how
            self._become("backing off")
            lived = time.monotonic() - began
            back_off = 0.0 if lived > _STABLE_SECONDS else min(2 * back_off + 0.5, _BACK_OFF_LONGEST)
            said = ", and said the same" if lines and lines == told else "".join(f"\n    {line}" for line in lines)
            self._report(f"{self.launch.name} {how}; it is started again in {back_off:g} s{said}")
            told = lines
            await asyncio.sleep(back_off)
            self.restarts += 1

    async def _run_once(self) -> str:
        """Start the process, watch it to its end, and tell how it ended."""
        self.launch.socket.unlink(missing_ok=True)
        self._become("starting")
        starting = asyncio.ensure_future(self.launch.start())
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # `stop` is to find the process that was on its way
            self._process = await starting
            raise
        except OSError as error:
            return f"cannot be started: {error}"
        watching = asyncio.create_task(self._watch())
        try:
            status = await self._process.wait()
        finally:
            watching.cancel()
        self._process = None
        return processes.ending(status)

    async def _watch(self) -> None:
        failures = 0
        while True:
            try:
                ready = await self._probe()
            except (OSError, TimeoutError):
                ready = False
            failures = 0 if ready else failures + 1
            if ready:
                self._become("ready")
            elif self.state == "ready" and failures >= _FAILURES_UNTIL_UNREADY:
                self._become("unready")
            await asyncio.sleep(_PROBE_PERIOD_STARTING if self.state == "starting" else _PROBE_PERIOD)

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_change()
