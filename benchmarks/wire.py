"""The cheapest HTTP/1.1 client that will do: GETs with a known request, one at a time on each kept connection.

It serves as the floor's client and as the load generator. It understands only what uvicorn sends here: a status line,
lower-case header names and a content-length.
"""

import asyncio
from typing import NamedTuple

LENGTH = b"\r\ncontent-length: "
END = b"\r\n\r\n"


class Answer(NamedTuple):
    """A response as it came: its status, its status line and headers without the empty line, its body."""

    status: int
    head: bytes
    body: bytes


def parse(data: bytes) -> Answer | None:
    """The response in `data`, or None while it is not all there. Raises ValueError for one without a length."""
    end = data.find(END)
    if end < 0:
        return None
    at = data.find(LENGTH, 0, end)
    if at < 0:
        raise ValueError("a response without content-length")
    at += len(LENGTH)
    stop = data.find(b"\r\n", at)
    if len(data) < end + len(END) + int(data[at:stop]):
        return None
    return Answer(int(data[9:12]), data[:end], data[end + len(END) :])


def get_request(host: str, path: str, headers: str = "") -> bytes:
    """A GET's bytes. Each line of `headers` ends in CRLF."""
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n".encode()


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._data = b""
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer]

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Raises OSError when nobody listens."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def request(self, request: bytes) -> "asyncio.Future[Answer]":
        """The answer to `request`; a ConnectionError when the peer closes before it is complete."""
        self._answer = self._loop.create_future()
        if self._transport.is_closing():
            self._answer.set_exception(ConnectionResetError("the peer has closed the connection"))
        else:
            self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Give the connection up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is both readable and writable
        self._answer = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        try:
            answer = parse(self._data)
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if answer is not None:
            self._data = b""
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the peer closed the connection"))
