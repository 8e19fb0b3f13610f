"""Events over real connections: one that reads, one that does not."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from bookinfo_lab.server import Server
from bookinfo_lab.watch.feed import Events, Feed
from bookinfo_lab.watch.listener import listen

PERIOD = 0.01
STALLED = 1.0
WITHIN = 30.0
LARGE = "x" * 1_000_000
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Changing:
    """A large state that is another one at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> Any:
        self.looks += 1
        return f"{self.looks} {LARGE}"


@contextlib.asynccontextmanager
async def serving(feed: Feed) -> AsyncIterator[tuple[str, int]]:
    with contextlib.closing(listen(0, STALLED)) as listener:
        config = uvicorn.Config(Events(feed), log_config=None, lifespan="off", ws="none")
        task = asyncio.create_task(Server(config, listener).run_until_cancelled())
        try:
            yield listener.getsockname()
        finally:
            feed.close()
            task.cancel()
            await asyncio.wait([task])


@contextlib.asynccontextmanager
async def reading(address: tuple[str, int]) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(REQUEST)
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_watched_by(feed: Feed, watchers: int, reader: asyncio.StreamReader) -> None:
    """Read until so many watch."""
    while feed.watchers != watchers:
        assert await reader.read(1_000_000)


def test_who_does_not_read_holds_up_nobody_and_is_cut_off() -> None:
    async def scenario() -> None:
        feed = Feed({"large": Changing()}, PERIOD)
        async with asyncio.timeout(WITHIN), serving(feed) as address:
            with contextlib.closing(socket.create_connection(address)) as stalled:
                stalled.sendall(REQUEST)
                async with reading(address) as reader:
                    await until_watched_by(feed, 2, reader)
                    await until_watched_by(feed, 1, reader)

    asyncio.run(scenario())


def test_who_hangs_up_watches_no_more() -> None:
    async def scenario() -> None:
        feed = Feed({"large": Changing()}, PERIOD)
        async with asyncio.timeout(WITHIN), serving(feed) as address, reading(address) as other:
            async with reading(address) as reader:
                await until_watched_by(feed, 2, reader)
            await until_watched_by(feed, 1, other)

    asyncio.run(scenario())


def test_at_the_end_of_the_lab_the_line_ends_in_order() -> None:
    async def scenario() -> None:
        feed = Feed({"small": lambda: 1}, PERIOD)
        async with asyncio.timeout(WITHIN), serving(feed) as address, reading(address) as reader:
            await reader.readuntil(b"data: 1\n\n")
            feed.close()
            await reader.readuntil(b"0\r\n\r\n")

    asyncio.run(scenario())
