"""Server-sent events."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bookinfo_lab.watch import feed as module
from bookinfo_lab.watch.feed import MAX_SUBSCRIBERS, Feed, TooManySubscribersError

UPDATE_SECONDS = 0.01
TIMEOUT_SECONDS = 10.0


class Source:
    """A topic that counts its reads."""

    def __init__(self) -> None:
        self.state: Any = 0
        self.reads = 0
        self.read_often = asyncio.Event()

    def __call__(self) -> Any:
        self.reads += 1
        if self.reads > 3:
            self.read_often.set()
        return self.state


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_SECONDS))  # type: ignore[arg-type]


def test_new_subscriber_gets_every_topic() -> None:
    async def scenario() -> None:
        with Feed({"one": lambda: 1, "two": lambda: [2]}, UPDATE_SECONDS).subscribe() as subscriber:
            assert await subscriber.changes() == [("one", "1"), ("two", "[2]")]

    run(scenario)


def test_only_what_changed_is_told_again() -> None:
    async def scenario() -> None:
        source = Source()
        with Feed({"still": lambda: 1, "moving": source}, UPDATE_SECONDS).subscribe() as subscriber:
            await subscriber.changes()
            source.state = 7
            assert await subscriber.changes() == [("moving", "7")]

    run(scenario)


def test_topics_are_not_read_without_subscribers() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, UPDATE_SECONDS)
        assert source.reads == 0
        with feed.subscribe():
            await source.read_often.wait()
        reads = source.reads
        await asyncio.sleep(10 * UPDATE_SECONDS)
        assert source.reads == reads

    run(scenario)


def test_subscribers_share_one_read() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, update_seconds=3600)
        with feed.subscribe(), feed.subscribe(), feed.subscribe():
            assert source.reads == 1

    run(scenario)


def test_returning_subscriber_gets_the_current_state() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, update_seconds=3600)
        with feed.subscribe() as subscriber:
            assert await subscriber.changes() == [("source", "0")]
        source.state = 5
        with feed.subscribe() as subscriber:
            assert await subscriber.changes() == [("source", "5")]

    run(scenario)


def test_slow_subscriber_gets_only_the_last_state() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, UPDATE_SECONDS)
        with feed.subscribe() as slow, feed.subscribe() as quick:
            await slow.changes()
            for state in range(1, 50):
                source.state = state
                feed.request_update()
                while (await quick.changes())[-1] != ("source", str(state)):
                    pass
            assert await slow.changes() == [("source", "49")]

    run(scenario)


def test_requested_update_happens_immediately() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, update_seconds=3600)
        with feed.subscribe() as subscriber:
            await subscriber.changes()
            source.state = 1
            feed.request_update()
            assert await subscriber.changes() == [("source", "1")]

    run(scenario)


def test_too_many_subscribers_are_rejected() -> None:
    async def scenario() -> None:
        feed = Feed({}, UPDATE_SECONDS)
        subscriptions = [feed.subscribe() for _ in range(MAX_SUBSCRIBERS)]
        for subscription in subscriptions:
            subscription.__enter__()
        with pytest.raises(TooManySubscribersError), feed.subscribe():
            pass
        for subscription in subscriptions:
            subscription.__exit__(None, None, None)
        assert feed.subscribers == 0

    run(scenario)


def test_idle_connection_gets_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", UPDATE_SECONDS)
    sent: list[bytes] = []
    disconnected = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if sent.count(b": no change\n\n") == 2:
            disconnected.set()

    async def scenario() -> None:
        feed = Feed({"one": lambda: 1}, update_seconds=3600)
        await module.Events(feed)({"type": "http"}, receive, send)
        assert feed.subscribers == 0

    run(scenario)
    assert b"".join(sent).startswith(b"retry: 1000\n\nevent: one\ndata: 1\n\n: no change\n\n")
