"""The load: a number of connections, each of which requests the page repeatedly without a pause."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chain import ENTRY, HOST, BenchmarkError
from benchmarks.wire import Connection, Response, get_request

HEADERS = "user-agent: benchmark\r\naccept: text/html\r\nx-request-id: 5d2c9f6e-8b1a-4f3e-9c7d-2a6b0e4f1c38\r\n"
"""The minimum behind a gateway: the headers of a browser, and Envoy's request id."""

PARTS = (b"PublisherA", b"Reviewer2", b"glyphicon-star")
"""Texts of details, reviews and ratings in a page."""


@dataclass(frozen=True)
class Load:
    """The duration of the load and the latency of each page, in seconds."""

    seconds: float
    latencies: Sequence[float]

    @property
    def pages(self) -> int:
        """The number of pages."""
        return len(self.latencies)


def check_page(response: Response) -> None:
    """Raise `BenchmarkError` if the status is not 200 or if the part of a backend is missing."""
    if response.status != 200:
        raise BenchmarkError(f"a page returned {response.status}")
    for part in PARTS:
        if part not in response.body:
            raise BenchmarkError(f"{part.decode()!r} is missing in a page: a backend failed")


async def load(port: int, connections: int, seconds: float) -> Load:
    """Request pages for `seconds`. Raises `BenchmarkError` unless every response is a complete page."""
    request = get_request(HOST, ENTRY.path, HEADERS)
    opened = [await Connection.open(HOST, port) for _ in range(connections)]
    latencies: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    async def request_pages(connection: Connection) -> None:
        sent = time.perf_counter()
        while sent < end:
            response = await connection.request(request)
            received = time.perf_counter()
            check_page(response)
            latencies.append(received - sent)
            sent = received

    try:
        await asyncio.gather(*(request_pages(connection) for connection in opened))
    except OSError as error:
        raise BenchmarkError(f"a request failed: {error}") from error
    finally:
        for connection in opened:
            connection.close()
    return Load(time.perf_counter() - start, latencies)
