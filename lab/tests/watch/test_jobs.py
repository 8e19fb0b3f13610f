"""What the page's buttons start."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.watch.jobs import Command, Lessons, Load

WITHIN = 60.0
CLAIM = {"expected": "every answer 200", "seen": "20 of 20", "without": "", "outcome": "holds"}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN):
            await scenario()

    asyncio.run(bounded())


class Told(Command):
    """A command that says what a test wants, and ends when it is told to."""

    def __init__(self, output: str = "", messages: Sequence[str] = (), status: int = 0) -> None:
        super().__init__("default", os.environ)
        self.output = output
        self.messages = messages
        self.status = status
        self.arguments: Sequence[str] = ()
        self.may_end = asyncio.Event()

    async def run(
        self, arguments: Sequence[str], on_output: Callable[[str], None], on_message: Callable[[str], None]
    ) -> int:
        self.arguments = arguments
        for line in self.messages:
            on_message(line)
        await self.may_end.wait()
        for line in self.output.splitlines():
            on_output(line)
        return self.status

    def stop(self) -> None:
        self.may_end.set()


async def ended(lessons: Lessons) -> None:
    assert lessons._task
    await lessons._task


def test_a_step_runs_the_command_that_the_page_shows() -> None:
    async def scenario() -> None:
        command = Told(json.dumps({"claims": [CLAIM]}), ["canary 2/5: 20 %"])
        changes: list[bool] = []
        lessons = Lessons(command, lambda: changes.append(True))
        lessons.start("canary", 2)
        assert lessons.running
        assert lessons.state()["command"] == "bookinfo scenario run canary --step 2"
        command.may_end.set()
        await ended(lessons)
        assert command.arguments == ["scenario", "run", "canary", "--step", "2", "--json"]
        told = lessons.state()
        assert (told["running"], told["claims"], told["error"]) == (False, [CLAIM], "")
        assert told["lines"] == ["canary 2/5: 20 %"]
        assert len(changes) >= 3

    run(scenario)


def test_proving_runs_verify() -> None:
    async def scenario() -> None:
        command = Told(json.dumps({"claims": []}))
        lessons = Lessons(command, lambda: None)
        lessons.start("canary", None)
        command.may_end.set()
        await ended(lessons)
        assert command.arguments == ["verify", "canary", "--json"]
        assert lessons.state()["command"] == "bookinfo verify canary"

    run(scenario)


def test_what_a_command_ends_with_is_its_error() -> None:
    async def scenario() -> None:
        command = Told("", ["canary 1/5: 10 %", "bookinfo: the lab is gone"], status=1)
        lessons = Lessons(command, lambda: None)
        lessons.start("canary", 1)
        command.may_end.set()
        await ended(lessons)
        assert lessons.state()["error"] == "the lab is gone"

    run(scenario)


def test_one_that_is_stopped_says_so() -> None:
    async def scenario() -> None:
        lessons = Lessons(Told("", ["canary 1/5: 10 %"], status=143), lambda: None)
        lessons.start("canary", None)
        lessons.stop()
        assert lessons.state()["stopping"]
        await ended(lessons)
        assert lessons.state()["error"] == "stopped"

    run(scenario)


def test_there_is_one_at_a_time() -> None:
    async def scenario() -> None:
        lessons = Lessons(Told(), lambda: None)
        lessons.start("canary", 1)
        with pytest.raises(LabError, match="canary is still running"):
            lessons.start("retries", 1)
        await lessons.close()

    run(scenario)


@pytest.mark.parametrize(("name", "step"), [("nonsense", 1), ("canary", 0), ("canary", 6), ("canary", -1)])
def test_a_step_that_does_not_exist_starts_nothing(name: str, step: int) -> None:
    lessons = Lessons(Command("default", os.environ), lambda: None)
    with pytest.raises(LabError):
        lessons.start(name, step)
    assert not lessons.running


def test_new_load_takes_the_place_of_the_old() -> None:
    async def scenario() -> None:
        load = Load(Told("10 answers; 200 reviews v1: 10 (100 %)"), lambda: None)
        await load.start(5, 60)
        first = load._task
        await load.start(7, 60)
        assert first is not None
        assert first.cancelled()
        told = load.state()
        assert (told["running"], told["command"]) == (True, "bookinfo load --rps 7 --duration 60")
        assert told["ends"] == pytest.approx(time.time() + 60, abs=30)
        await load.close()
        assert load.state()["running"] is False

    run(scenario)


def test_a_command_is_the_real_one_line_by_line() -> None:
    async def scenario() -> None:
        output: list[str] = []
        status = await Command("default", os.environ).run(["scenario", "list"], output.append, lambda _: None)
        assert status == 0
        assert any(line.startswith("canary ") for line in output)

    run(scenario)


def test_a_command_that_is_abandoned_is_gone() -> None:
    async def scenario() -> None:
        command = Command("default", os.environ)
        running = asyncio.Event()
        arguments = ["load", "--url", "http://127.0.0.1:9/", "--rps", "1"]
        started = asyncio.create_task(command.run(arguments, lambda _: running.set(), print))
        await running.wait()
        process = command._process
        started.cancel()
        await asyncio.wait([started])
        assert process is not None
        assert await process.wait() < 0

    run(scenario)
