"""Events over real connections of fast, slow and stalled readers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from bookinfo_lab.server import Server
from bookinfo_lab.watch.feed import Events, Feed
from bookinfo_lab.watch.listener import listen

UPDATE_SECONDS = 0.01
STALLED_SECONDS = 1.0
TIMEOUT_SECONDS = 30.0
LARGE = "x" * 1_000_000
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Changing:
    """A large state that changes at each read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> Any:
        self.reads += 1
        return f"{self.reads} {LARGE}"


@contextlib.asynccontextmanager
async def serving(feed: Feed) -> AsyncIterator[tuple[str, int]]:
    with contextlib.closing(listen(0, STALLED_SECONDS)) as listener:
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


async def read_until_subscribers(feed: Feed, subscribers: int, reader: asyncio.StreamReader) -> None:
    """Read until the feed has this number of subscribers."""
    while feed.subscribers != subscribers:
        assert await reader.read(1_000_000)


def test_stalled_reader_is_disconnected_and_delays_no_other_reader() -> None:
    async def scenario() -> None:
        feed = Feed({"large": Changing()}, UPDATE_SECONDS)
        async with asyncio.timeout(TIMEOUT_SECONDS), serving(feed) as address:
            with contextlib.closing(socket.create_connection(address)) as stalled:
                stalled.sendall(REQUEST)
                async with reading(address) as reader:
                    await read_until_subscribers(feed, 2, reader)
                    await read_until_subscribers(feed, 1, reader)

    asyncio.run(scenario())


def test_disconnected_reader_is_unsubscribed() -> None:
    async def scenario() -> None:
        feed = Feed({"large": Changing()}, UPDATE_SECONDS)
        async with asyncio.timeout(TIMEOUT_SECONDS), serving(feed) as address, reading(address) as other:
            async with reading(address) as reader:
                await read_until_subscribers(feed, 2, reader)
            await read_until_subscribers(feed, 1, other)

    asyncio.run(scenario())


def test_closed_feed_ends_the_response() -> None:
    async def scenario() -> None:
        feed = Feed({"small": lambda: 1}, UPDATE_SECONDS)
        async with asyncio.timeout(TIMEOUT_SECONDS), serving(feed) as address, reading(address) as reader:
            await reader.readuntil(b"data: 1\n\n")
            feed.close()
            await reader.readuntil(b"0\r\n\r\n")

    asyncio.run(scenario())
