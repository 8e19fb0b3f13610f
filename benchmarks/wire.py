"""A minimal HTTP/1.1 client: GET with a prepared request, one at a time on each connection.

The floor and the load generator use it. It supports only the responses of uvicorn: a status line, lower-case header
names and a content-length.
"""

import asyncio
from typing import NamedTuple

LENGTH = b"\r\ncontent-length: "
END = b"\r\n\r\n"


class Response(NamedTuple):
    """The status, the status line with the headers, and the body of a response."""

    status: int
    head: bytes
    body: bytes


def parse(data: bytes) -> Response | None:
    """Return the response in `data`, or None if it is incomplete. Raises ValueError without a content-length."""
    end = data.find(END)
    if end < 0:
        return None
    start = data.find(LENGTH, 0, end)
    if start < 0:
        raise ValueError("the response has no content-length")
    start += len(LENGTH)
    stop = data.find(b"\r\n", start)
    if len(data) < end + len(END) + int(data[start:stop]):
        return None
    return Response(int(data[9:12]), data[:end], data[end + len(END) :])


def get_request(host: str, path: str, headers: str = "") -> bytes:
    """Return the bytes of a GET request. Each line of `headers` ends with CRLF."""
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n".encode()


class Connection(asyncio.Protocol):
    """A connection that handles one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._data = b""
        self._transport: asyncio.Transport
        self._response: asyncio.Future[Response]

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect. Raises OSError if the connection fails."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def request(self, request: bytes) -> "asyncio.Future[Response]":
        """Send a request. The future is its response, or a ConnectionError if the server closes the connection."""
        self._response = self._loop.create_future()
        if self._transport.is_closing():
            self._response.set_exception(ConnectionResetError("the server has closed the connection"))
        else:
            self._transport.write(request)
        return self._response

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # the transport of a stream is readable and writable
        self._response = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        try:
            response = parse(self._data)
        except ValueError as error:
            self._response.set_exception(error)
            return
        if response is not None:
            self._data = b""
            self._response.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._response.done():
            self._response.set_exception(exc or ConnectionResetError("the server closed the connection"))
