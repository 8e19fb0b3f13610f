"""The watch page of one lab."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn

from bookinfo_lab.observe.observations import Observations
from bookinfo_lab.resources.store import ObjectStore
from bookinfo_lab.runtime.lab import Lab
from bookinfo_lab.server import Server
from bookinfo_lab.watch.app import PageContext, application, topics
from bookinfo_lab.watch.feed import Feed
from bookinfo_lab.watch.jobs import Command, LoadJob, ScenarioJob


class Page:
    """The page, its feed and its jobs."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        start: ObjectStore,
        status: Callable[[], dict[str, Any]],
        observations: Observations,
        environ: Mapping[str, str],
    ) -> None:
        """`start` contains the objects with which the lab was started. `environ` is the environment of the jobs."""
        self._scenario_job = ScenarioJob(Command(name, environ), self._on_change)
        self._load_job = LoadJob(Command(name, environ), self._on_change)
        context = PageContext(lab, start, status, observations, self._scenario_job, self._load_job)
        self._feed = Feed(topics(context))
        self._application = application(context, self._feed)

    async def serve(self, listener: socket.socket) -> None:
        """Serve requests until the task is cancelled. Then stop the jobs."""
        config = uvicorn.Config(self._application, log_config=None, lifespan="off", ws="none")
        try:
            await Server(config, listener).run_until_cancelled()
        finally:
            self._feed.close()
            await self._scenario_job.close()
            await self._load_job.close()

    def _on_change(self) -> None:
        self._feed.request_update()
