"""Takes in what proxies write of each request: each into a named pipe of its own, so that nothing is kept on disk.

Envoy opens the pipe as it opens any log file, and writes what it has every half second (`bootstrap.arguments`) from a
thread that may wait: a reader that is late costs no request.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from bookinfo_lab.observe import records
from bookinfo_lab.observe.records import Registry
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.resources.topology import Proxy

_AT_ONCE = 65536
"""Bytes read before others have their turn: some 150 records, 2 ms."""

_ROOM = 1 << 20
"""Bytes that the kernel keeps for a reader that is late; it may grant less."""

_LONGEST = 65536
"""Bytes of a line; a longer one is no record."""


class Recorder:
    """Reads the pipes of all proxies into one log."""

    def __init__(self, log: RequestLog, registry: Registry) -> None:
        self._log = log
        self._registry = registry
        self._open: dict[Path, int] = {}

    def follow(self, proxy: Proxy, path: Path) -> None:
        """Make the pipe at `path`, which `proxy` is about to write, and read it for as long as it is there."""
        self._registry.add(proxy)
        for older in [older for older in self._open if older == path or not older.exists()]:
            self._close(self._open.pop(older))
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        # Opened for writing too: it then has no end while no Envoy runs.
        pipe = self._open[path] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a user may have only so much of it (pipe-user-pages-soft)
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _ROOM)
        asyncio.get_running_loop().add_reader(pipe, self._reading(proxy, pipe))

    def close(self) -> None:
        """Read no more."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _close(self, pipe: int) -> None:
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)

    def _reading(self, proxy: Proxy, pipe: int) -> Callable[[], None]:
        rest = b""

        def take() -> None:
            nonlocal rest
            try:
                *lines, rest = (rest + os.read(pipe, _AT_ONCE)).split(b"\n")
            except BlockingIOError:
                return
            if len(rest) > _LONGEST:
                rest = b""
            for line in lines:
                request = records.read(line, proxy, self._registry)
                if request is not None:
                    self._log.add(request)

        return take
