"""The watch page's listening socket, opened before the page's code is loaded."""

import contextlib
import errno
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bookinfo_lab.errors import LabError

if TYPE_CHECKING:
    from bookinfo_lab.observe.observations import Observations
    from bookinfo_lab.resources.store import ObjectStore
    from bookinfo_lab.runtime.lab import Lab

HOST = "127.0.0.1"
PORT = 8081
STALLED_SECONDS = 30.0
"""The kernel closes a connection whose client reads nothing for this time (TCP_USER_TIMEOUT in tcp(7))."""


def listen(port: int | None, stalled_seconds: float = STALLED_SECONDS) -> socket.socket:
    """Return a listening socket on `port` (0: any free port). None means 8081, or any free port if 8081 is in use.

    Raises:
        LabError: the port cannot be used.
    """
    if port is None:
        with contextlib.suppress(LabError):
            return listen(PORT, stalled_seconds)
        return listen(0, stalled_seconds)
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * stalled_seconds))
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        why = "already in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise LabError(
            f"{HOST}:{port}: {why}; choose another port for the watch page with --watch-port, or leave it out with "
            "--no-watch"
        ) from error
    return listener


class WatchPage:
    """The watch page of one lab. It implements `runtime.supervisor.Page`."""

    def __init__(self, listener: socket.socket, environ: Mapping[str, str]) -> None:
        """`environ` is the environment of the commands that the page's buttons start."""
        self._listener = listener
        self._environ = environ

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://localhost:{self._listener.getsockname()[1]}"

    async def serve(
        self,
        lab: "Lab",
        name: str,
        start: "ObjectStore",
        status: Callable[[], dict[str, Any]],
        observations: "Observations",
    ) -> None:
        """Serve requests until the task is cancelled."""
        from bookinfo_lab.watch.page import Page  # loaded while the lab's processes start

        await Page(lab, name, start, status, observations, self._environ).serve(self._listener)

    def close(self) -> None:
        """Close the listening socket."""
        self._listener.close()
