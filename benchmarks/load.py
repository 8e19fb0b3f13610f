"""The load: a number of connections, each asking for the page again as soon as it has it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chain import ENTRY, HOST, BenchmarkError
from benchmarks.wire import Answer, Connection, get_request

HEADERS = "user-agent: benchmark\r\naccept: text/html\r\nx-request-id: 5d2c9f6e-8b1a-4f3e-9c7d-2a6b0e4f1c38\r\n"
"""As little as comes through a gateway: what names the browser, and Envoy's request id."""

PARTS = (b"PublisherA", b"Reviewer2", b"glyphicon-star")
"""What details, reviews and ratings contribute to a page."""


@dataclass(frozen=True)
class Load:
    """What was asked for and how long each page took, in seconds."""

    seconds: float
    latencies: Sequence[float]

    @property
    def pages(self) -> int:
        """How many pages came."""
        return len(self.latencies)


def check_page(answer: Answer) -> None:
    """Raises `BenchmarkError` for an answer that is not 200, or a page on which a backend's part is missing."""
    if answer.status != 200:
        raise BenchmarkError(f"a page was answered {answer.status}")
    for part in PARTS:
        if part not in answer.body:
            raise BenchmarkError(f"a page lacked {part.decode()!r}: a backend's answer did not reach it")


async def load(port: int, connections: int, seconds: float) -> Load:
    """Ask for pages for so many seconds. Raises `BenchmarkError` unless every answer is 200 and a whole page."""
    request = get_request(HOST, ENTRY.path, HEADERS)
    opened = [await Connection.open(HOST, port) for _ in range(connections)]
    latencies: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    async def reader(connection: Connection) -> None:
        sent = time.perf_counter()
        while sent < end:
            answer = await connection.request(request)
            received = time.perf_counter()
            check_page(answer)
            latencies.append(received - sent)
            sent = received

    try:
        await asyncio.gather(*(reader(connection) for connection in opened))
    except OSError as error:
        raise BenchmarkError(f"a page did not come: {error}") from error
    finally:
        for connection in opened:
            connection.close()
    return Load(time.perf_counter() - start, latencies)
