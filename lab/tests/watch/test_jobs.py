"""The jobs that the page's buttons start."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.watch.jobs import Command, LoadJob, ScenarioJob

TIMEOUT_SECONDS = 60.0
CLAIM = {"expected": "all: status 200", "observed": "20 of 20", "observed_without_rule": "", "outcome": "passed"}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await scenario()

    asyncio.run(bounded())


class FakeCommand(Command):
    """A command with the output that a test defines. It ends when the test allows it."""

    def __init__(self, output: str = "", messages: Sequence[str] = (), exit_code: int = 0) -> None:
        super().__init__("default", os.environ)
        self.output = output
        self.messages = messages
        self.exit_code = exit_code
        self.arguments: Sequence[str] = ()
        self.end_allowed = asyncio.Event()

    async def run(
        self, arguments: Sequence[str], on_output: Callable[[str], None], on_message: Callable[[str], None]
    ) -> int:
        self.arguments = arguments
        for line in self.messages:
            on_message(line)
        await self.end_allowed.wait()
        for line in self.output.splitlines():
            on_output(line)
        return self.exit_code

    def stop(self) -> None:
        self.end_allowed.set()


async def wait_for(job: ScenarioJob) -> None:
    assert job._task
    await job._task


def test_step_runs_the_displayed_command() -> None:
    async def scenario() -> None:
        command = FakeCommand(json.dumps({"claims": [CLAIM]}), ["canary 2/5: 20 %"])
        changes: list[bool] = []
        job = ScenarioJob(command, lambda: changes.append(True))
        job.start("canary", 2)
        assert job.running
        assert job.state()["command"] == "bookinfo scenario run canary --step 2"
        command.end_allowed.set()
        await wait_for(job)
        assert command.arguments == ["scenario", "run", "canary", "--step", "2", "--json"]
        state = job.state()
        assert (state["running"], state["claims"], state["error"]) == (False, [CLAIM], "")
        assert state["lines"] == ["canary 2/5: 20 %"]
        assert len(changes) >= 3

    run(scenario)


def test_all_steps_run_verify() -> None:
    async def scenario() -> None:
        command = FakeCommand(json.dumps({"claims": []}))
        job = ScenarioJob(command, lambda: None)
        job.start("canary", None)
        command.end_allowed.set()
        await wait_for(job)
        assert command.arguments == ["verify", "canary", "--json"]
        assert job.state()["command"] == "bookinfo verify canary"

    run(scenario)


def test_last_message_of_a_failed_command_is_the_error() -> None:
    async def scenario() -> None:
        command = FakeCommand("", ["canary 1/5: 10 %", "bookinfo: the lab is gone"], exit_code=1)
        job = ScenarioJob(command, lambda: None)
        job.start("canary", 1)
        command.end_allowed.set()
        await wait_for(job)
        assert job.state()["error"] == "the lab is gone"

    run(scenario)


def test_stopped_scenario_reports_it() -> None:
    async def scenario() -> None:
        job = ScenarioJob(FakeCommand("", ["canary 1/5: 10 %"], exit_code=143), lambda: None)
        job.start("canary", None)
        job.stop()
        assert job.state()["stopping"]
        await wait_for(job)
        assert job.state()["error"] == "stopped"

    run(scenario)


def test_second_scenario_is_rejected() -> None:
    async def scenario() -> None:
        job = ScenarioJob(FakeCommand(), lambda: None)
        job.start("canary", 1)
        with pytest.raises(LabError, match="scenario canary is running"):
            job.start("retries", 1)
        await job.close()

    run(scenario)


@pytest.mark.parametrize(("name", "step"), [("nonsense", 1), ("canary", 0), ("canary", 6), ("canary", -1)])
def test_missing_step_starts_nothing(name: str, step: int) -> None:
    job = ScenarioJob(Command("default", os.environ), lambda: None)
    with pytest.raises(LabError):
        job.start(name, step)
    assert not job.running


def test_new_load_replaces_the_running_load() -> None:
    async def scenario() -> None:
        load = LoadJob(FakeCommand("10 responses; 200 reviews v1: 10 (100 %)"), lambda: None)
        await load.start(5, 60)
        first = load._task
        await load.start(7, 60)
        assert first is not None
        assert first.cancelled()
        state = load.state()
        assert (state["running"], state["command"]) == (True, "bookinfo load --rps 7 --duration 60")
        assert state["ends"] == pytest.approx(time.time() + 60, abs=30)
        await load.close()
        assert load.state()["running"] is False

    run(scenario)


def test_command_runs_bookinfo() -> None:
    async def scenario() -> None:
        output: list[str] = []
        status = await Command("default", os.environ).run(["scenario", "list"], output.append, lambda _: None)
        assert status == 0
        assert any(line.startswith("canary ") for line in output)

    run(scenario)


def test_cancelled_command_is_killed() -> None:
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
