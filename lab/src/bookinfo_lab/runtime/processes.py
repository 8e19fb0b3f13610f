"""Child processes that cannot outlive this one, and their log files."""

import asyncio
import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

LOG_LIMIT = 5_000_000
"""Bytes after which a log file is rotated; one older file is kept, so a log takes at most twice as much."""

_READ_BYTES = 256 * 1024
_ENVOYS_COMPLAINT = re.compile(r"\[[^]]+\]\[\d+\](\[(?:critical|error)\]\[(?!backtrace\]).*)")

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, which is to be `parent`, dies, however that happens.

    See PR_SET_PDEATHSIG in prctl(2). It means the thread that started this process: start only from the main thread.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above took effect
        os._exit(1)


def call_itself(name: str) -> None:
    """Give this process a name for `ps` and `top`; the kernel keeps 15 bytes of it (PR_SET_NAME in prctl(2))."""
    _libc.prctl(_PR_SET_NAME, name.encode())


def adopt_orphans() -> None:
    """Become the parent of what this process' descendants leave behind (PR_SET_CHILD_SUBREAPER in prctl(2))."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


class Process:
    """A child that leads a process group of its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._descriptor, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        # Before it is reaped its group's number cannot be another's.
        os.killpg(self.pid, signal.SIGKILL)
        self._ended.set_result(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))

    async def wait(self) -> int:
        """The exit status, negative for a signal, once it has ended. What it started ends with it."""
        return await asyncio.shield(self._ended)

    async def stop(self, grace: float) -> None:
        """SIGTERM; after `grace` seconds SIGKILL, to its whole group."""
        if not self._ended.done():
            os.kill(self.pid, signal.SIGTERM)
            await asyncio.wait([self._ended], timeout=grace)
        self.kill()
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to it and to what it started."""
        if not self._ended.done():
            os.killpg(self.pid, signal.SIGKILL)


def start(
    command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> Process:
    """Start `command` in `folder`, to die with this process; both of its outputs are appended to `log`.

    Raises:
        OSError: it cannot be started.
    """
    parent = os.getpid()
    with open_log(log) as output:
        popen = subprocess.Popen(  # noqa: S603 - the command is this program's own or Envoy
            command,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            process_group=0,
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - it takes no lock
        )
    popen.returncode = 0  # Process reaps it
    return Process(popen.pid)


def open_log(log: Path) -> BinaryIO:
    """A log file to append to, for its owner's eyes only."""
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def rotate(log: Path, limit: int = LOG_LIMIT) -> None:
    """Move what a log has beyond `limit` bytes to `<log>.1`.

    The writer keeps its open file (Python and Envoy alike have no signal to reopen it), so the file is copied and
    emptied; a line that is written between the two is lost.
    """
    try:
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        pass


def ending(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"was killed by signal {-status} ({signal.strsignal(-status)})"
    return f"ended with status {status}"


def size(log: Path) -> int:
    """How many bytes a log has."""
    return log.stat().st_size if log.exists() else 0


def cause(log: Path, since: int, count: int = 3) -> list[str]:
    """The lines that tell why a process ended, of what its log has beyond `since` bytes.

    Envoy says why before a long backtrace; anything else says it last.
    """
    written = size(log)
    if written < since:  # it has been rotated
        since = 0
    if not written:
        return []
    with log.open("rb") as file:
        file.seek(max(since, written - _READ_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    complaints = [found[1] for line in lines if (found := _ENVOYS_COMPLAINT.match(line))]
    return complaints[:count] or lines[-count:]


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log, to tell why its process ended."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
