"""HTTP over Unix sockets: Envoy's admin interface, an application's probes, the lab's control."""

import asyncio
import http.client
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast


@dataclass(frozen=True)
class Response:
    """A whole answer."""

    status: int
    body: bytes


class _Received:
    """What http.client wants of a socket, over bytes that have all arrived."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


async def request(
    folder: Path, name: str, path: str, *, method: str = "GET", body: bytes = b"", within: float = 5.0
) -> Response:
    """One request on a connection of its own to the socket `name` in `folder`, answered `within` so many seconds.

    Raises:
        OSError: nobody listens there, or the answer was cut off.
        TimeoutError: no complete answer in time.
    """
    async with asyncio.timeout(within):
        # The kernel takes at most 107 bytes for a socket's path; the folder's may be longer.
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}/{name}")
        finally:
            os.close(descriptor)
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
    try:
        response = http.client.HTTPResponse(cast("http.client.socket", _Received(received)))  # type: ignore[name-defined]
        response.begin()
        return Response(response.status, response.read())
    except http.client.HTTPException as error:
        raise ConnectionResetError(f"{folder / name}: answer cut off") from error
