"""The pipes in which proxies tell of requests."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bookinfo_lab.observe.recorder import Recorder
from bookinfo_lab.observe.records import FORMAT, REPORTER, Registry
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.resources.topology import Workload

WORKLOAD = Workload("reviews-v1-x", "reviews-v1", "default", {"app": "reviews"}, "sa", "127.64.0.4", {"http": 9080})
NUMBERS = {"start": "1.0", "microseconds": 1, "milliseconds": 0, "code": 200, "port": 9080, "received": 0, "sent": 0}
LINE = json.dumps(dict.fromkeys(FORMAT) | NUMBERS | {REPORTER: "destination"}).encode() + b"\n"


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def recorded(folder: Path, act: Callable[[Recorder, RequestLog, Path], Awaitable[None]]) -> RequestLog:
    """The log after `act`, with a pipe that is followed."""
    log = RequestLog()

    async def run() -> None:
        recorder = Recorder(log, Registry(tuple))
        recorder.follow(WORKLOAD, folder / "pipe")
        try:
            await act(recorder, log, folder / "pipe")
        finally:
            recorder.close()

    asyncio.run(run())
    return log


def write(path: Path, data: bytes) -> None:
    """As Envoy does, which opens it anew whenever it starts."""
    with path.open("wb") as pipe:
        pipe.write(data)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def remove(path: Path) -> None:
    path.unlink()


def test_what_a_proxy_writes_is_logged_in_whatever_pieces_it_comes(tmp_path: Path) -> None:
    async def act(_: Recorder, log: RequestLog, pipe: Path) -> None:
        write(pipe, LINE[:50])
        await asyncio.sleep(0.02)
        write(pipe, LINE[50:] + LINE)
        await until(lambda: log.cursor == 2)

    assert [request.destination.workload for request in recorded(tmp_path, act).since()] == ["reviews-v1", "reviews-v1"]


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    async def act(_: Recorder, log: RequestLog, pipe: Path) -> None:
        write(pipe, LINE[:50] + b"\n" + LINE)
        await until(lambda: log.cursor == 1)

    assert recorded(tmp_path, act).cursor == 1


def test_a_line_without_an_end_is_not_kept(tmp_path: Path) -> None:
    async def act(_: Recorder, log: RequestLog, pipe: Path) -> None:
        for _ in range(4):
            write(pipe, b"x" * 30_000)
            await asyncio.sleep(0.02)
        write(pipe, b"\n" + LINE)
        await until(lambda: log.cursor == 1)

    assert recorded(tmp_path, act).cursor == 1


def test_a_pipe_whose_proxy_is_gone_is_let_go_when_another_is_followed(tmp_path: Path) -> None:
    async def act(recorder: Recorder, _: RequestLog, pipe: Path) -> None:
        before = open_files()
        for number in range(5):
            remove(pipe)
            pipe = tmp_path / str(number)
            recorder.follow(WORKLOAD, pipe)
        recorder.follow(WORKLOAD, pipe)
        assert open_files() == before

    recorded(tmp_path, act)
