"""Server-sent events: sends the current states to every open page, and does nothing while no page is open.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

MAX_SUBSCRIBERS = 16

UPDATE_SECONDS = 1.0
"""The time between two updates."""

HEARTBEAT_SECONDS = 15.0
"""A subscriber without a new state gets a comment after this time, which shows that the connection is alive."""

_RETRY_MILLISECONDS = 1000

Topics = Mapping[str, Callable[[], Any]]
"""The topics of the page. Each function returns the current state of a topic as a JSON value."""


class TooManySubscribersError(Exception):
    """The feed has `MAX_SUBSCRIBERS` subscribers already."""


class Subscriber:
    """One open page. It stores at most the last state of each topic that it has not sent yet."""

    def __init__(self, states: Mapping[str, str]) -> None:
        self._states = states
        self._unsent = dict.fromkeys(states)
        self._changed = asyncio.Event()
        self.closed = False
        if states:
            self._changed.set()

    def notify(self, topic: str) -> None:
        """Mark the topic as changed."""
        self._unsent[topic] = None
        self._changed.set()

    def close(self) -> None:
        """Send nothing more."""
        self.closed = True
        self._changed.set()

    async def changes(self) -> list[tuple[str, str]]:
        """Return the changed topics with their current states. Wait for at least one change, or for `close`."""
        await self._changed.wait()
        self._changed.clear()
        topics = list(self._unsent)
        self._unsent.clear()
        return [(topic, self._states[topic]) for topic in topics]


class Feed:
    """Reads the topics every `UPDATE_SECONDS` while it has subscribers, and notifies them of changes."""

    def __init__(self, topics: Topics, update_seconds: float = UPDATE_SECONDS) -> None:
        self._topics = topics
        self._update_seconds = update_seconds
        self._states: dict[str, str] = {}
        self._subscribers: set[Subscriber] = set()
        self._updating: asyncio.Task[None] | None = None
        self._update_requested = asyncio.Event()

    @property
    def subscribers(self) -> int:
        """The number of open pages."""
        return len(self._subscribers)

    def request_update(self) -> None:
        """Read the topics now, because something changed."""
        self._update_requested.set()

    def close(self) -> None:
        """Close all subscribers."""
        for subscriber in self._subscribers:
            subscriber.close()

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[Subscriber]:
        """Subscribe while the context is active.

        Raises:
            TooManySubscribersError: there are too many subscribers.
        """
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            raise TooManySubscribersError
        if not self._subscribers:
            self._states.clear()  # nobody has updated them since the last subscriber left
            self._update()
            self._updating = asyncio.create_task(self._keep_updating(), name="watch page")
        subscriber = Subscriber(self._states)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers and self._updating:
                self._updating.cancel()

    async def _keep_updating(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._update_seconds):
                    await self._update_requested.wait()
            self._update_requested.clear()
            self._update()

    def _update(self) -> None:
        for topic, read in self._topics.items():
            state = json.dumps(read(), separators=(",", ":"))
            if state != self._states.get(topic):
                self._states[topic] = state
                for subscriber in self._subscribers:
                    subscriber.notify(topic)


class Events:
    """The endpoint of the feed. A slow reader misses states in between, and delays no other reader.

    The kernel closes the connection of a page that reads nothing: see `listener.listen`.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the browser disconnects."""
        try:
            with self._feed.subscribe() as subscriber:
                headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await _serve(subscriber, receive, send)
        except TooManySubscribersError:
            response = PlainTextResponse(f"{MAX_SUBSCRIBERS} pages are open; close one\n", status_code=503)
            await response(scope, receive, send)


async def _serve(subscriber: Subscriber, receive: Receive, send: Send) -> None:
    sending = asyncio.create_task(_send_events(subscriber, send))
    try:
        while not sending.done():
            receiving = asyncio.ensure_future(receive())
            await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and receiving.result()["type"] == "http.disconnect":
                return
            receiving.cancel()
        sending.result()
    finally:
        sending.cancel()


async def _send_events(subscriber: Subscriber, send: Send) -> None:
    text = f"retry: {_RETRY_MILLISECONDS}\n\n"
    while not subscriber.closed:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                text = "".join(f"event: {topic}\ndata: {state}\n\n" for topic, state in await subscriber.changes())
        except TimeoutError:
            text = ": no change\n\n"
    await send({"type": "http.response.body", "body": b""})
