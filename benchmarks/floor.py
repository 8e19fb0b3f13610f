"""The floor: the least that a chain of this shape can cost in Python.

Bare ASGI applications under uvicorn with the client of `benchmarks.wire`: they make the calls that the services make
and send the bytes that the services send, recorded beforehand. They route, validate, render, count and log nothing.

`python -m benchmarks.floor NAME PORT ANSWERS [PEER...]` runs one; a peer is a port and a path, `9080/ratings/0`.
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
from benchmarks.wire import Answer, Connection, get_request

SERVERS_OWN = frozenset({b"date", b"content-length"})
"""Headers that uvicorn and the application add here too; content-length is added from the body."""


class Peer:
    """One callee, and its idle connections."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = get_request(HOST, path)
        self._idle: list[Connection] = []

    async def get(self) -> Answer:
        """Ask it."""
        connection = self._idle.pop() if self._idle else await Connection.open(HOST, self._port)
        answer = await connection.request(self._request)
        self._idle.append(connection)
        return answer


def application(headers: list[tuple[bytes, bytes]], body: bytes, peers: list[Peer]) -> ASGI3Application:
    """Asks every peer, then sends `headers` and `body`; 502 when a peer's answer was not 200."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]

    async def app(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if len(peers) == 1:
            answers = [await peers[0].get()]
        else:
            answers = await asyncio.gather(*(peer.get() for peer in peers))
        status = 200 if all(answer.status == 200 for answer in answers) else 502
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": status,
            "headers": headers,
            "trailers": False,
        }
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app


def record(answers: Mapping[str, Answer], file: Path) -> None:
    """Write what the services answered, for `replay` in another process."""
    file.write_text(json.dumps({name: _plain(answer) for name, answer in answers.items()}))


def replay(file: Path, name: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The recorded headers and body of service `name`."""
    headers, body = json.loads(file.read_text())[name]
    return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers], base64.b64decode(body)


def _plain(answer: Answer) -> tuple[list[Any], str]:
    lines = [line.split(b": ", 1) for line in answer.head.split(b"\r\n")[1:]]
    headers = [[key.decode("latin-1"), value.decode("latin-1")] for key, value in lines if key not in SERVERS_OWN]
    return headers, base64.b64encode(answer.body).decode()


def main(name: str, port: str, answers: str, *peers: str) -> None:
    """Serve until a signal."""
    headers, body = replay(Path(answers), name)
    asked = [Peer(int(number), f"/{path}") for number, _, path in (peer.partition("/") for peer in peers)]
    uvicorn.run(
        application(headers, body, asked),
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
