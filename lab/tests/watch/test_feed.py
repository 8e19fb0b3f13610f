"""Server-sent events."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bookinfo_lab.watch import feed as module
from bookinfo_lab.watch.feed import MOST_WATCHERS, Feed, TooManyWatchersError

PERIOD = 0.01
WITHIN = 10.0


class Source:
    """Something to look at, that counts how often somebody did."""

    def __init__(self) -> None:
        self.state: Any = 0
        self.looks = 0
        self.looked_often = asyncio.Event()

    def __call__(self) -> Any:
        self.looks += 1
        if self.looks > 3:
            self.looked_often.set()
        return self.state


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), WITHIN))  # type: ignore[arg-type]


def test_who_begins_to_look_is_told_everything() -> None:
    async def scenario() -> None:
        with Feed({"one": lambda: 1, "two": lambda: [2]}, PERIOD).watch() as watcher:
            assert await watcher.news() == [("one", "1"), ("two", "[2]")]

    run(scenario)


def test_only_what_changed_is_told_again() -> None:
    async def scenario() -> None:
        source = Source()
        with Feed({"still": lambda: 1, "moving": source}, PERIOD).watch() as watcher:
            await watcher.news()
            source.state = 7
            assert await watcher.news() == [("moving", "7")]

    run(scenario)


def test_nothing_is_looked_at_while_nobody_watches() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, PERIOD)
        assert source.looks == 0
        with feed.watch():
            await source.looked_often.wait()
        looks = source.looks
        await asyncio.sleep(10 * PERIOD)
        assert source.looks == looks

    run(scenario)


def test_many_watchers_cost_one_look() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, period=3600)
        with feed.watch(), feed.watch(), feed.watch():
            assert source.looks == 1

    run(scenario)


def test_who_comes_back_is_told_what_is_so_now() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, period=3600)
        with feed.watch() as watcher:
            assert await watcher.news() == [("source", "0")]
        source.state = 5
        with feed.watch() as watcher:
            assert await watcher.news() == [("source", "5")]

    run(scenario)


def test_a_slow_watcher_is_told_the_last_state_alone_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, PERIOD)
        with feed.watch() as slow, feed.watch() as quick:
            await slow.news()
            for state in range(1, 50):
                source.state = state
                feed.hurry()
                while (await quick.news())[-1] != ("source", str(state)):
                    pass
            assert await slow.news() == [("source", "49")]

    run(scenario)


def test_hurry_does_not_wait_for_the_next_look() -> None:
    async def scenario() -> None:
        source = Source()
        feed = Feed({"source": source}, period=3600)
        with feed.watch() as watcher:
            await watcher.news()
            source.state = 1
            feed.hurry()
            assert await watcher.news() == [("source", "1")]

    run(scenario)


def test_there_are_no_more_watchers_than_there_may_be() -> None:
    async def scenario() -> None:
        feed = Feed({}, PERIOD)
        open_ones = [feed.watch() for _ in range(MOST_WATCHERS)]
        for each in open_ones:
            each.__enter__()
        with pytest.raises(TooManyWatchersError), feed.watch():
            pass
        for each in open_ones:
            each.__exit__(None, None, None)
        assert feed.watchers == 0

    run(scenario)


def test_a_quiet_line_gets_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", PERIOD)
    sent: list[bytes] = []
    hung_up = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if sent.count(b": nothing new\n\n") == 2:
            hung_up.set()

    async def scenario() -> None:
        feed = Feed({"one": lambda: 1}, period=3600)
        await module.Events(feed)({"type": "http"}, receive, send)
        assert feed.watchers == 0

    run(scenario)
    assert b"".join(sent).startswith(b"retry: 1000\n\nevent: one\ndata: 1\n\n: nothing new\n\n")
