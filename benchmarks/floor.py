"""The floor: the least that a chain of this shape can cost in Python.

It consists of bare ASGI applications under uvicorn with the client of `benchmarks.wire`. They make the same calls as
the services and send the recorded bytes of the services, without routing, validation, rendering, metrics or logs.

`python -m benchmarks.floor NAME PORT RESPONSES [BACKEND...]` runs one application. A backend is a port and a path, for
example `9080/ratings/0`.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPResponseStartEvent, Scope

from benchmarks.chain import HOST
from benchmarks.wire import Connection, Response, get_request

ADDED_HEADERS = frozenset({b"date", b"content-length"})
"""Headers that uvicorn and the application add themselves."""


class Backend:
    """A called service, and the idle connections to it."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = get_request(HOST, path)
        self._idle: list[Connection] = []

    async def get(self) -> Response:
        """Call the service."""
        connection = self._idle.pop() if self._idle else await Connection.open(HOST, self._port)
        response = await connection.request(self._request)
        self._idle.append(connection)
        return response


def application(headers: list[tuple[bytes, bytes]], body: bytes, backends: list[Backend]) -> ASGI3Application:
    """Return an application that calls all backends, then sends `headers` and `body`.

    The status is 502 if a backend did not return 200.
    """
    headers = [*headers, (b"content-length", str(len(body)).encode())]

    async def app(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if len(backends) == 1:
            responses = [await backends[0].get()]
        else:
            responses = await asyncio.gather(*(backend.get() for backend in backends))
        status = 200 if all(response.status == 200 for response in responses) else 502
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": status,
            "headers": headers,
            "trailers": False,
        }
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app


def record(responses: Mapping[str, Response], file: Path) -> None:
    """Write the responses of the services to a file, for `replay` in another process."""
    file.write_text(json.dumps({name: _as_json(response) for name, response in responses.items()}))


def replay(file: Path, name: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the recorded headers and body of the service `name`."""
    headers, body = json.loads(file.read_text())[name]
    return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers], base64.b64decode(body)


def _as_json(response: Response) -> tuple[list[Any], str]:
    lines = [line.split(b": ", 1) for line in response.head.split(b"\r\n")[1:]]
    headers = [[key.decode("latin-1"), value.decode("latin-1")] for key, value in lines if key not in ADDED_HEADERS]
    return headers, base64.b64encode(response.body).decode()


def main(name: str, port: str, responses: str, *backends: str) -> None:
    """Serve until a signal."""
    headers, body = replay(Path(responses), name)
    called = [Backend(int(number), f"/{path}") for number, _, path in (each.partition("/") for each in backends)]
    uvicorn.run(
        application(headers, body, called),
        host=HOST,
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
