"""The short way to a hot route's handler, past FastAPI's routing and validation."""

import inspect
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from bookinfo_chassis.errors import MAX_ID, NumericId

Handler = Callable[..., Awaitable[Response]]
"""What a route calls."""


class ShortWay(BaseRoute):
    """Takes a GET of one route to its handler, when it can only be valid.

    FastAPI's own way costs four times what the handlers here do (docs/performance.md). Whatever does not certainly fit
    still goes that way, which so remains the reference for errors, other methods and the API description: with or
    without this, the answers are the same.
    """

    def __init__(self, route: APIRoute) -> None:
        """`route` takes the request and at most a `NumericId` at the end of its path. Raises TypeError otherwise."""
        parameters = inspect.signature(route.endpoint).parameters
        annotations = [parameter.annotation for parameter in parameters.values()]
        if "GET" not in (route.methods or ()) or annotations not in ([Request], [Request, NumericId]):
            raise TypeError(f"there is no short way to {route.endpoint.__name__}")
        self.path = route.path  # OpenTelemetry reads it
        self._route = route
        self._id = list(parameters)[1] if len(parameters) == 2 else None
        self._start = route.path.removesuffix(f"{{{self._id}}}")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self._start):
            return Match.NONE, {}
        rest = scope["path"][len(self._start) :]
        if self._id is None:
            return (Match.NONE, {}) if rest else (Match.FULL, {"route": self._route, "path_params": {}})
        if not (rest.isascii() and rest.isdigit() and len(rest) <= len(str(MAX_ID)) and int(rest) <= MAX_ID):
            return Match.NONE, {}
        return Match.FULL, {"route": self._route, "path_params": {self._id: rest}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        ids = {name: int(value) for name, value in scope["path_params"].items()}
        response = await self._route.endpoint(Request(scope, receive), **ids)
        await response(scope, receive, send)
