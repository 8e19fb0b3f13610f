"""A small HTTP client for the lab's own processes: probes, the admin interface of Envoy, and the supervisor."""

import asyncio
import contextlib
import http.client
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

Target = Path | tuple[str, int]
"""A Unix socket, or a host and a port."""


@dataclass(frozen=True)
class Response:
    """A complete response."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


async def request(
    target: Target, path: str, *, method: str = "GET", body: bytes = b"", within: float = 5.0
) -> Response:
    """Send a request on a new connection, and return the response if it is complete `within` that many seconds.

    Raises:
        OSError: the connection is refused, or the response is incomplete.
        TimeoutError: the response is not complete in time.
    """
    async with asyncio.timeout(within):
        reader, writer = await _connect(target)
        try:
            head = (
                f"{method} {path} HTTP/1.1",
                "Host: lab",
                "Connection: close",
                f"Content-Length: {len(body)}",
                "",
                "",
            )
            writer.write("\r\n".join(head).encode() + body)
            received = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    try:
        response = http.client.HTTPResponse(cast("Any", _Received(received)))
        response.begin()
        return Response(response.status, response.read())
    except http.client.HTTPException as error:
        raise ConnectionResetError(f"{target}: the response is incomplete") from error


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, tuple):
        return await asyncio.open_connection(*target)
    # The kernel takes at most 107 bytes for a socket's path; a state directory's may be longer.
    folder = os.open(target.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{target.name}")
    finally:
        os.close(folder)


class _Received:
    """The part of a socket's interface that http.client uses, for bytes that are already received."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)
