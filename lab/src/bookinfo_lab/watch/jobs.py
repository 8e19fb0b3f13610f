"""The jobs that the page's buttons start: `bookinfo` commands, each in its own process."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import processes

MIN_LOAD = 0.1
"""The smallest rate per second and the shortest duration in seconds that `bookinfo load` accepts."""

MAX_RATE = 50
MAX_LOAD_SECONDS = 600
"""The load ends by itself, in case its user closes the page and forgets it."""

_MAX_LINES = 12

Changed = Callable[[], None]


class ScenarioState(TypedDict, total=False):
    """The state of the scenario job, as the page receives it. Only `running` and `lines` are always present."""

    running: bool
    stopping: bool
    scenario: str
    step: int | None
    command: str
    claims: list[dict[str, Any]]
    error: str
    lines: list[str]


class LoadState(TypedDict, total=False):
    """The state of the load job, as the page receives it. Only `running` and `line` are always present."""

    running: bool
    rps: float
    ends: float  # seconds since the epoch
    command: str
    line: str


class Command:
    """Runs one `bookinfo` command at a time."""

    def __init__(self, lab: str, environ: Mapping[str, str]) -> None:
        self._environ = {**environ, "BOOKINFO_LAB": lab, "PYTHONUNBUFFERED": "1"}
        self._process: asyncio.subprocess.Process | None = None

    async def run(
        self, arguments: Sequence[str], on_output: Callable[[str], None], on_message: Callable[[str], None]
    ) -> int:
        """Run the command and return its exit code. Its lines are passed on as they arrive."""
        parent = os.getpid()
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bookinfo_lab",
            *arguments,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,  # Ctrl-C must reach only the lab, which stops this process
            preexec_fn=lambda: processes.die_with(parent),
            limit=10_000_000,
        )
        try:
            await asyncio.gather(_read_lines(process.stdout, on_output), _read_lines(process.stderr, on_message))
            return await process.wait()
        finally:
            self._process = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()  # waits until the process has ended and its pipes are closed

    def stop(self) -> None:
        """Send SIGTERM to the command."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)


async def _read_lines(stream: asyncio.StreamReader | None, on_line: Callable[[str], None]) -> None:
    if stream is not None:
        async for line in stream:
            on_line(line.decode(errors="replace").rstrip("\n"))


class ScenarioJob:
    """Runs a scenario: one step, whose state is kept, or all steps, after which the lab is restored."""

    def __init__(self, command: Command, changed: Changed) -> None:
        """`changed` is called when the state changes."""
        self._command = command
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._state: ScenarioState = {"running": False}
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)

    @property
    def running(self) -> bool:
        """Whether a scenario is running."""
        return self._state["running"]

    def state(self) -> ScenarioState:
        """Return the state of the current or last run."""
        return self._state | {"lines": list(self._lines)}

    def start(self, scenario: str, step: int | None) -> None:
        """Go to a step of a scenario (from 1), or verify the whole scenario if `step` is None.

        Raises:
            LabError: the step does not exist, or a scenario is running.
        """
        from bookinfo_lab.scenarios import definitions

        steps = len(definitions.find(scenario).steps)
        if step is not None and not 1 <= step <= steps:
            raise LabError(f"scenario {scenario} has {steps} steps; choose one of them")
        if self.running:
            raise LabError(f"scenario {self._state['scenario']} is running; wait until it ends, or stop it")
        arguments = ["scenario", "run", scenario, "--step", str(step), "--json"] if step else ["verify", scenario]
        arguments += [] if step else ["--json"]
        self._lines.clear()
        self._state = {
            "running": True,
            "stopping": False,
            "scenario": scenario,
            "step": step,
            "command": shlex.join(["bookinfo", *(word for word in arguments if word != "--json")]),
            "claims": [],
            "error": "",
        }
        self._changed()
        self._task = asyncio.create_task(self._run(arguments), name=f"scenario {scenario}")

    def stop(self) -> None:
        """Stop the running scenario. It restores the lab first."""
        if self.running:
            self._state["stopping"] = True
            self._command.stop()
            self._changed()

    async def close(self) -> None:
        """Kill the running scenario."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, arguments: Sequence[str]) -> None:
        output: list[str] = []
        exit_code = await self._command.run(arguments, output.append, self._on_message)
        report = _parse("\n".join(output))
        if report:
            error = ""
        elif self._state["stopping"]:
            error = "stopped"
        else:
            error = next(iter(reversed(self._lines)), f"the command ended with exit code {exit_code}")
        self._state = self._state | {
            "running": False,
            "claims": report.get("claims", []),
            "error": error.removeprefix("bookinfo: "),
        }
        self._changed()

    def _on_message(self, line: str) -> None:
        self._lines.append(line)
        self._changed()


def _parse(text: str) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return report


class LoadJob:
    """Sends steady traffic to the application's page for a limited time."""

    def __init__(self, command: Command, changed: Changed) -> None:
        """`changed` is called when the state changes."""
        self._command = command
        self._changed = changed
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._state: LoadState = {"running": False, "line": ""}

    def state(self) -> LoadState:
        """Return the state of the current or last load."""
        return self._state

    async def start(self, rps: float, seconds: float) -> None:
        """Send `rps` requests per second for `seconds`. This replaces a load that is running.

        Raises:
            LabError: a value is out of range.
        """
        if not (MIN_LOAD <= rps <= MAX_RATE and MIN_LOAD <= seconds <= MAX_LOAD_SECONDS):
            raise LabError(
                f"load out of range; use {MIN_LOAD} to {MAX_RATE} requests per second for {MIN_LOAD} to "
                f"{MAX_LOAD_SECONDS} s"
            )
        async with self._starting:
            await self.close()
            arguments = ["load", "--rps", f"{rps:g}", "--duration", f"{seconds:g}"]
            self._state = {
                "running": True,
                "rps": rps,
                "ends": time.time() + seconds,
                "command": shlex.join(["bookinfo", *arguments]),
                "line": "",
            }
            self._task = asyncio.create_task(self._run(arguments), name="load")
            self._changed()

    async def close(self) -> None:
        """Kill the running load."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._state = self._state | {"running": False}
            self._changed()

    async def _run(self, arguments: Sequence[str]) -> None:
        await self._command.run(arguments, self._on_line, self._on_line)
        self._state = self._state | {"running": False}
        self._changed()

    def _on_line(self, line: str) -> None:
        self._state = self._state | {"line": line.removeprefix("bookinfo: ")}
        self._changed()
