"""What the page's buttons start: `bookinfo` commands, as somebody would type them, each in a process of its own."""

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
from typing import Any

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import processes

LEAST = 0.1
"""Of both, as `bookinfo load` takes them."""

MOST_RPS = 50
LONGEST_LOAD = 600
"""Seconds: who closes the page and forgets it does not find the machine busy the next day."""

_LINES = 12

Changed = Callable[[], None]


class Command:
    """One `bookinfo` command at a time."""

    def __init__(self, lab: str, environ: Mapping[str, str]) -> None:
        self._environ = {**environ, "BOOKINFO_LAB": lab, "PYTHONUNBUFFERED": "1"}
        self._process: asyncio.subprocess.Process | None = None

    async def run(
        self, arguments: Sequence[str], on_output: Callable[[str], None], on_message: Callable[[str], None]
    ) -> int:
        """Run it to its end and return its exit status; its lines are told as they come."""
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
            process_group=0,  # Ctrl-C is for the lab, which stops this
            preexec_fn=lambda: processes.die_with(parent),
            limit=10_000_000,
        )
        try:
            await asyncio.gather(_tell(process.stdout, on_output), _tell(process.stderr, on_message))
            return await process.wait()
        finally:
            self._process = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()  # until it has ended and its pipes are closed

    def stop(self) -> None:
        """Ask it to end."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)


async def _tell(stream: asyncio.StreamReader | None, tell: Callable[[str], None]) -> None:
    if stream is not None:
        async for line in stream:
            tell(line.decode(errors="replace").rstrip("\n"))


class Lessons:
    """Runs scenarios: one step, which then stays, or the proof of all, after which everything is as it was."""

    def __init__(self, command: Command, changed: Changed) -> None:
        """`changed` is called when `state` has."""
        self._command = command
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._state: dict[str, Any] = {"running": False}
        self._lines: deque[str] = deque(maxlen=_LINES)

    @property
    def running(self) -> bool:
        """Whether one is on its way."""
        return bool(self._state["running"])

    def state(self) -> dict[str, Any]:
        """What runs or ran last, and what came of it."""
        return self._state | {"lines": list(self._lines)}

    def start(self, scenario: str, step: int | None) -> None:
        """Go to a scenario's step (from 1), or with None prove all of it.

        Raises:
            LabError: there is no such step, or another one runs.
        """
        from bookinfo_lab.scenarios import definitions

        steps = len(definitions.find(scenario).steps)
        if step is not None and not 1 <= step <= steps:
            raise LabError(f"{scenario} has {steps} steps")
        if self.running:
            raise LabError(f"{self._state['scenario']} is still running; wait for it, or stop it")
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
        self._task = asyncio.create_task(self._run(arguments), name=f"lesson {scenario}")

    def stop(self) -> None:
        """Ask the one that runs to end; what it found it puts back first."""
        if self.running:
            self._state["stopping"] = True
            self._command.stop()
            self._changed()

    async def close(self) -> None:
        """End it at once."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, arguments: Sequence[str]) -> None:
        output: list[str] = []
        status = await self._command.run(arguments, output.append, self._on_message)
        stopped = self._state["stopping"]
        told = _from_json("\n".join(output))
        error = "" if told else "stopped" if stopped else next(iter(reversed(self._lines)), f"it ended with {status}")
        claims = told.get("claims", [])
        self._state = self._state | {"running": False, "claims": claims, "error": error.removeprefix("bookinfo: ")}
        self._changed()

    def _on_message(self, line: str) -> None:
        self._lines.append(line)
        self._changed()


def _from_json(text: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return told


class Load:
    """Steady requests for the product page, for a while."""

    def __init__(self, command: Command, changed: Changed) -> None:
        """`changed` is called when `state` has."""
        self._command = command
        self._changed = changed
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._state: dict[str, Any] = {"running": False, "line": ""}

    def state(self) -> dict[str, Any]:
        """What runs or ran last, and what came back of it."""
        return self._state

    async def start(self, rps: float, seconds: float) -> None:
        """Send `rps` requests a second for so many seconds, in place of what is sent now.

        Raises:
            LabError: that is too much.
        """
        if not (LEAST <= rps <= MOST_RPS and LEAST <= seconds <= LONGEST_LOAD):
            raise LabError(f"load: {LEAST} to {MOST_RPS} requests a second, for {LEAST} to {LONGEST_LOAD} s")
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
        """End it at once."""
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
