"""Child processes and their logs."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from bookinfo_lab.runtime import processes
from bookinfo_lab.runtime.processes import Process

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def start(folder: Path, script: str) -> Process:
    return processes.start([sys.executable, "-c", script], folder, {"A": "b"}, folder / "app.log")


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_process_has_its_folder_its_environment_and_its_log(tmp_path: Path) -> None:
    async def run() -> int:
        return await start(tmp_path, "import os; print(os.getcwd(), os.environ['A'], sorted(os.environ)[0])").wait()

    assert asyncio.run(run()) == 0
    assert (tmp_path / "app.log").read_text() == f"{tmp_path} b A\n"
    assert stat.S_IMODE((tmp_path / "app.log").stat().st_mode) == 0o600


def test_its_end_is_told_by_status_or_signal(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        ended = await start(tmp_path, "raise SystemExit(3)").wait()
        killed = start(tmp_path, SLEEPER)
        killed.kill()
        return ended, await killed.wait()

    assert asyncio.run(run()) == (3, -signal.SIGKILL)


def test_stopping_asks_first_and_kills_what_does_not_listen(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        polite, stubborn = start(tmp_path, SLEEPER), start(tmp_path, STUBBORN)
        while processes.last_lines(tmp_path / "app.log", 1) != ["deaf"]:  # noqa: ASYNC110 - a process' output is no event
            await asyncio.sleep(0.01)
        await asyncio.gather(polite.stop(30), stubborn.stop(0.1))
        return await polite.wait(), await stubborn.wait()

    assert asyncio.run(run()) == (-signal.SIGTERM, -signal.SIGKILL)


def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    script = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True)"

    async def run() -> int:
        await start(tmp_path, script).wait()
        return int((tmp_path / "app.log").read_text().split()[0])

    grandchild = asyncio.run(run())
    deadline = time.monotonic() + 10
    while alive(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_dies_with_its_killed_parent(tmp_path: Path) -> None:
    script = f"""
import asyncio
from pathlib import Path
from bookinfo_lab.runtime import processes
async def run():
    child = processes.start([{sys.executable!r}, "-c", {SLEEPER!r}], Path("."), {{}}, Path("child.log"))
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(run())
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_whose_parent_has_died_already_does_not_start() -> None:
    pid = os.fork()
    if not pid:
        processes.die_with(parent=1)  # another's child: as if the parent had died in between
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_a_log_is_rotated_beyond_its_limit_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with processes.open_log(log) as writer:
        for text in (b"first\n", b"second\n"):
            writer.write(text)
            writer.flush()
            processes.rotate(log, limit=3)
        writer.write(b"3\n")
        writer.flush()
        processes.rotate(log, limit=3)
    assert log.read_bytes() == b"3\n"
    assert (tmp_path / "app.log.1").read_bytes() == b"second\n"


def test_the_last_lines_of_a_log_are_told(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    assert processes.last_lines(log, 2) == []
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    assert processes.last_lines(log, 2) == ["line 4998", "line 4999"]


ENVOY_LOG = """\
[2026-11-22 10:00:00.000][7][warning][main] [source/server/server.cc:1] there is no configured limit
[2026-11-22 10:00:00.000][7][critical][assert] [source/common/watcher.cc:2] assert failure: inotify_fd_ >= 0
[2026-11-22 10:00:00.000][7][critical][backtrace] [./source/server/backtrace.h:3] Caught Aborted
[2026-11-22 10:00:00.000][7][critical][backtrace] [./source/server/backtrace.h:4] Backtrace (use tools/stack_decode.py)
#0: [0x55aa]
#1: [0x55ab]
"""


def test_the_cause_of_an_envoys_end_is_its_complaint_and_not_its_backtrace(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    log.write_text(ENVOY_LOG)
    assert processes.cause(log, 0) == [
        "[critical][assert] [source/common/watcher.cc:2] assert failure: inotify_fd_ >= 0"
    ]


def test_the_cause_of_another_programs_end_is_what_it_said_last(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("Traceback (most recent call last):\n  ...\nValueError: no such book\n")
    assert processes.cause(log, 0, count=1) == ["ValueError: no such book"]


def test_what_an_earlier_run_said_is_no_cause(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("earlier\n")
    since = processes.size(log)
    assert processes.cause(log, since) == []
    log.write_text("now\n")  # shorter: it was rotated meanwhile
    assert processes.cause(log, since) == ["now"]
    assert processes.cause(tmp_path / "none.log", 0) == []
