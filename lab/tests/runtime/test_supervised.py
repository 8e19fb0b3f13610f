"""Keeping a process running."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bookinfo_lab.runtime import processes, supervised
from bookinfo_lab.runtime.processes import Process
from bookinfo_lab.runtime.supervised import Launch, Supervised

SLEEPER = "import time; time.sleep(600)"


async def until(condition: Callable[[], bool]) -> None:
    """Poll, because what is waited for may pass at once and come back."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Rig:
    """A supervised process whose script and whose probe's answer a test can change."""

    def __init__(self, folder: Path) -> None:
        self.script = SLEEPER
        self.answer: bool | Exception = True
        self.states: list[str] = []
        self.reports: list[str] = []
        self.supervised = Supervised(
            Launch("x's application", self.start, folder / "app.log", folder / "app.sock"),
            self.probe,
            lambda: self.states.append(self.supervised.state),
            self.reports.append,
        )
        self.folder = folder

    async def start(self) -> Process:
        return processes.start([sys.executable, "-c", self.script], self.folder, {}, self.folder / "app.log")

    async def probe(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def reaches(self, state: str) -> None:
        await until(lambda: self.supervised.state == state)


@pytest.fixture
def with_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rig]:
    monkeypatch.setattr(supervised, "_PROBE_PERIOD", 0.02)

    def run(story: Callable[[Rig], Coroutine[Any, Any, None]]) -> Rig:
        rig = Rig(tmp_path)

        async def told() -> None:
            rig.supervised.start()
            try:
                await story(rig)
            finally:
                await rig.supervised.stop(1)

        asyncio.run(told())
        return rig

    return run


def test_a_process_is_ready_when_its_probe_says_so(with_rig: Callable[..., Rig]) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = False
        await asyncio.sleep(0.2)
        assert rig.supervised.state == "starting"
        rig.answer = True
        await rig.reaches("ready")

    assert with_rig(story).states == ["ready", "stopped"]


def test_a_process_is_unready_when_its_probe_fails_again_and_again(with_rig: Callable[..., Rig]) -> None:
    async def story(rig: Rig) -> None:
        await rig.reaches("ready")
        rig.answer = ConnectionRefusedError()
        await rig.reaches("unready")
        rig.answer = True
        await rig.reaches("ready")

    assert with_rig(story).states == ["ready", "unready", "ready", "stopped"]


def test_a_process_that_ends_is_reported_with_its_last_lines_and_started_again(with_rig: Callable[..., Rig]) -> None:
    async def story(rig: Rig) -> None:
        await rig.reaches("ready")
        first = rig.supervised.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await rig.reaches("backing off")
        assert rig.supervised.pid is None
        await rig.reaches("ready")
        assert rig.supervised.pid not in (None, first)
        assert rig.supervised.restarts == 1

    (report,) = with_rig(story).reports
    assert report == "x's application was killed by signal 9 (Killed); it is started again in 0.5 s"


def test_a_process_that_is_killed_on_purpose_is_neither_reported_nor_started_again(
    with_rig: Callable[..., Rig],
) -> None:
    async def story(rig: Rig) -> None:
        await rig.reaches("ready")
        rig.supervised.kill()
        await rig.supervised.stop(1)

    rig = with_rig(story)
    assert rig.reports == []
    assert rig.supervised.deaths == 0


def test_each_quick_death_delays_the_next_start_more(
    with_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "_BACK_OFF_LONGEST", 0.7)

    async def story(rig: Rig) -> None:
        rig.script = "print('no such book'); raise SystemExit(78)"
        rig.answer = False
        await until(lambda: len(rig.reports) >= 3)

    reports = with_rig(story).reports
    assert reports[0] == "x's application ended with status 78; it is started again in 0.5 s\n    no such book"
    assert [report.split(" in ")[1].split(" s")[0] for report in reports[:3]] == ["0.5", "0.7", "0.7"]


def test_what_a_process_says_again_is_told_once(with_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "_BACK_OFF_LONGEST", 0.1)

    async def story(rig: Rig) -> None:
        rig.script = "print('no such book'); raise SystemExit(78)"
        rig.answer = False
        await until(lambda: len(rig.reports) >= 2)
        assert rig.supervised.deaths >= 2
        assert rig.supervised.failure == "ended with status 78: no such book"

    assert with_rig(story).reports[1].endswith("it is started again in 0.1 s, and said the same")


def test_a_process_that_cannot_be_started_is_reported(
    with_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(rig: Rig) -> None:
        await rig.reaches("backing off")

    async def missing(self: Rig) -> Process:
        raise FileNotFoundError("no such program")

    monkeypatch.setattr(Rig, "start", missing)
    assert "cannot be started: no such program" in with_rig(story).reports[0]


def test_stopping_finds_a_process_that_is_still_on_its_way(with_rig: Callable[..., Rig]) -> None:
    started: list[Process] = []

    async def story(rig: Rig) -> None:
        async def slowly() -> Process:
            await asyncio.sleep(0.2)
            started.append(await rig.start())
            return started[0]

        await rig.supervised.stop(1)
        rig.supervised = Supervised(
            Launch("x", slowly, rig.folder / "app.log", rig.folder / "app.sock"), rig.probe, lambda: None, print
        )
        rig.supervised.start()
        await asyncio.sleep(0.05)
        await rig.supervised.stop(1)
        assert await started[0].wait() == -15

    with_rig(story)
