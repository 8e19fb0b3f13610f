"""Where the watch page listens."""

import contextlib
import errno
import socket

from bookinfo_lab.errors import LabError

HOST = "127.0.0.1"
PORT = 8081
STALLED = 30.0
"""Seconds after which the kernel cuts off who takes nothing of what was sent (TCP_USER_TIMEOUT in tcp(7))."""


def listen(port: int | None, stalled: float = STALLED) -> socket.socket:
    """A listening socket on `port` (0: any free one), or, with None, on 8081 if that is free and else on any.

    Raises:
        LabError: the port that was asked for cannot be had.
    """
    if port is None:
        with contextlib.suppress(LabError):
            return listen(PORT, stalled)
        return listen(0, stalled)
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * stalled))
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
