"""Server-sent events: what is to be seen now, to everybody who looks, and no work while nobody does.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

MOST_WATCHERS = 16
PERIOD = 1.0
"""Seconds between two looks."""

HEARTBEAT = 15.0
"""Seconds after which a watcher for whom there is no news gets a sign that the line is open."""

_RETRY_MILLISECONDS = 1000

Topics = Mapping[str, Callable[[], Any]]
"""What there is to see, each as something that tells its present state as JSON has it."""


class TooManyWatchersError(Exception):
    """There are as many as there may be."""


class Watcher:
    """Somebody who looks. What he has not taken yet is never more than the last state of each topic."""

    def __init__(self, states: Mapping[str, str]) -> None:
        self._states = states
        self._unseen = dict.fromkeys(states)
        self._news = asyncio.Event()
        self.ended = False
        if states:
            self._news.set()

    def tell(self, topic: str) -> None:
        """There is a new state of it."""
        self._unseen[topic] = None
        self._news.set()

    def end(self) -> None:
        """There will be no more."""
        self.ended = True
        self._news.set()

    async def news(self) -> list[tuple[str, str]]:
        """The topics with news, and their states as they are by now; waits for one at least, or for the end."""
        await self._news.wait()
        self._news.clear()
        topics = list(self._unseen)
        self._unseen.clear()
        return [(topic, self._states[topic]) for topic in topics]


class Feed:
    """Looks at the topics every `PERIOD` while it has watchers, and tells them what has changed."""

    def __init__(self, topics: Topics, period: float = PERIOD) -> None:
        self._topics = topics
        self._period = period
        self._states: dict[str, str] = {}
        self._watchers: set[Watcher] = set()
        self._looking: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    @property
    def watchers(self) -> int:
        """How many look."""
        return len(self._watchers)

    def hurry(self) -> None:
        """Something has changed that is worth to be seen at once."""
        self._hurry.set()

    def close(self) -> None:
        """Let all watchers go."""
        for watcher in self._watchers:
            watcher.end()

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watcher]:
        """Look, from now on.

        Raises:
            TooManyWatchersError: no more may.
        """
        if len(self._watchers) >= MOST_WATCHERS:
            raise TooManyWatchersError
        if not self._watchers:
            self._states.clear()  # they are as old as the last look
            self._look()
            self._looking = asyncio.create_task(self._keep_looking(), name="watch page")
        watcher = Watcher(self._states)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers and self._looking:
                self._looking.cancel()

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._hurry.wait()
            self._hurry.clear()
            self._look()

    def _look(self) -> None:
        for topic, state in self._topics.items():
            told = json.dumps(state(), separators=(",", ":"))
            if told != self._states.get(topic):
                self._states[topic] = told
                for watcher in self._watchers:
                    watcher.tell(topic)


class Events:
    """The feed as an endpoint. Who reads slowly misses states in between, and delays nobody else.

    Who does not read at all is cut off by the kernel: see `listener.listen`.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the browser hangs up."""
        try:
            with self._feed.watch() as watcher:
                headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await _serve(watcher, receive, send)
        except TooManyWatchersError:
            answer = PlainTextResponse(f"{MOST_WATCHERS} pages are open; close one\n", status_code=503)
            await answer(scope, receive, send)


async def _serve(watcher: Watcher, receive: Receive, send: Send) -> None:
    sending = asyncio.create_task(_send_news(watcher, send))
    try:
        while not sending.done():
            hearing = asyncio.ensure_future(receive())
            await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
            if hearing.done() and hearing.result()["type"] == "http.disconnect":
                return
            hearing.cancel()
        sending.result()
    finally:
        sending.cancel()


async def _send_news(watcher: Watcher, send: Send) -> None:
    text = f"retry: {_RETRY_MILLISECONDS}\n\n"
    while not watcher.ended:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        try:
            async with asyncio.timeout(HEARTBEAT):
                text = "".join(f"event: {topic}\ndata: {state}\n\n" for topic, state in await watcher.news())
        except TimeoutError:
            text = ": nothing new\n\n"
    await send({"type": "http.response.body", "body": b""})
