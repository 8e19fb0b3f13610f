"""Child processes that cannot outlive this one, and their log files."""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG_LIMIT = 5_000_000
"""Bytes after which a log file is rotated; one older file is kept, so a log takes at most twice as much."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Process:
    """A running child in a process group of its own.

    It dies with this process, also when this process is killed: the kernel sends it SIGKILL (PR_SET_PDEATHSIG,
    prctl(2)). That holds for the thread that started it, so start only from the main thread.
    """

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path) -> None:
        """Start `command` in `folder`; both of its outputs are appended to `log`.

        Raises:
            OSError: it cannot be started.
        """
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the call above took effect
                os._exit(1)

        with open(log, "ab", opener=_private) as output:
            self._popen = subprocess.Popen(  # noqa: S603 - the command comes from images.yaml or is Envoy
                command,
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it takes no lock, and nothing else sets PDEATHSIG free of races
            )
        self.pid = self._popen.pid
        self._descriptor = os.pidfd_open(self.pid)
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._descriptor, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        # Before it is reaped its group's number cannot be another's.
        os.killpg(self.pid, signal.SIGKILL)
        self._ended.set_result(self._popen.wait())

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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log, to tell why its process ended."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
