"""The watch page of one lab, served for as long as the lab runs."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn

from bookinfo_lab.observe.observations import Observations
from bookinfo_lab.resources.store import Objects
from bookinfo_lab.runtime.lab import Lab
from bookinfo_lab.server import Server
from bookinfo_lab.watch.app import Watched, application, topics
from bookinfo_lab.watch.feed import Feed
from bookinfo_lab.watch.jobs import Command, Lessons, Load


class Page:
    """The page with everything behind it."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        start: Objects,
        status: Callable[[], dict[str, Any]],
        observations: Observations,
        environ: Mapping[str, str],
    ) -> None:
        """`name` is the lab's, `start` what it was started with, `environ` that of the commands behind the buttons."""
        self._lessons = Lessons(Command(name, environ), self._changed)
        self._load = Load(Command(name, environ), self._changed)
        watched = Watched(lab, start, status, observations, self._lessons, self._load)
        self._feed = Feed(topics(watched))
        self._application = application(watched, self._feed)

    async def serve(self, listener: socket.socket) -> None:
        """Answer until the task is cancelled; what the buttons have started ends then."""
        config = uvicorn.Config(self._application, log_config=None, lifespan="off", ws="none")
        try:
            await Server(config, listener).run_until_cancelled()
        finally:
            self._feed.close()
            await self._lessons.close()
            await self._load.close()

    def _changed(self) -> None:
        self._feed.hurry()
