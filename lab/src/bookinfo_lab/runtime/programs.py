"""Starting applications, by forking a process that has imported them already (zygote.py)."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from bookinfo_lab.runtime import processes
from bookinfo_lab.runtime.processes import Process
from bookinfo_lab.runtime.zygote import REQUEST_BYTES

_ALSO = ("bookinfo_chassis.otel_sdk",)
"""What applications import only when they are told to trace, as they are here."""

_LAST_WORDS_WITHIN = 1.0
"""Seconds from the end of the channel to that of the process."""


class Programs:
    """Starts `python -m PACKAGE` for the packages that it is given."""

    def __init__(self, packages: Iterable[str], folder: Path, env: Mapping[str, str]) -> None:
        """`folder` takes the log; `env` is the machine's part of the environment."""
        self._packages = sorted(set(packages))
        self._folder = folder
        self._env = env
        self._log = folder / "zygote.log"
        self._zygote: tuple[Process, socket.socket] | None = None
        self._asking = asyncio.Lock()
        processes.adopt_orphans()

    def begin(self) -> socket.socket:
        """Start importing. Returns the channel to the zygote."""
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.setblocking(False)
        with theirs:
            number = theirs.fileno()
            applications = [name for package in self._packages if find_spec(name := f"{package}.app")]
            modules = [*(f"{package}.__main__" for package in self._packages), *applications, *_ALSO]
            command = [sys.executable, "-P", "-m", "bookinfo_lab.runtime.zygote", str(number), *modules]
            self._zygote = processes.start(command, self._folder, self._env, self._log, pass_fds=[number]), channel
        return channel

    async def start(self, package: str, folder: Path, env: Mapping[str, str], log: Path) -> Process:
        """Start `package` in `folder` with exactly `env`; both of its outputs are appended to `log`.

        Raises:
            OSError: it cannot be started now; the next call tries with a new zygote.
        """
        request = {"package": package, "folder": str(folder), "env": dict(env), "log": str(log)}
        loop = asyncio.get_running_loop()
        async with self._asking:
            channel = self._zygote[1] if self._zygote else self.begin()
            try:
                await loop.sock_sendall(channel, json.dumps(request).encode())
                answer = await loop.sock_recv(channel, REQUEST_BYTES)
            except OSError:
                answer = b""
            if not answer:
                raise ConnectionError(f"the process from which it is forked {await self._obituary()}")
        return Process(int(answer))

    async def _obituary(self) -> str:
        """How the zygote ended."""
        if not self._zygote:
            return "has been stopped"
        process = self._zygote[0]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _LAST_WORDS_WITHIN)
        self.close()
        said = processes.cause(self._log, 0, count=1)
        return ": ".join([processes.ending(await process.wait()), *said])

    def close(self) -> None:
        """End the zygote; what it started goes on."""
        if self._zygote:
            process, channel = self._zygote
            process.kill()
            channel.close()
            self._zygote = None
