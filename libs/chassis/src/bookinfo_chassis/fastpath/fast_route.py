"""The fast route: from a request to its handler without FastAPI's routing and validation."""

import inspect
from collections.abc import Collection, Iterable, Sequence

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from bookinfo_chassis.errors import MAX_ID, NumericId


class FastRoute(BaseRoute):
    """Calls the handler of a GET route directly if the request is certainly valid.

    FastAPI's own path to a handler costs four times as much as the handlers of these services (README.md). A request
    that is not certainly valid does not match and takes FastAPI's path. FastAPI therefore remains the reference for
    errors, other methods and the API description: responses are the same with and without fast routes.
    """

    def __init__(self, route: APIRoute) -> None:
        """Wrap `route`. Its handler takes the request and optionally a `NumericId` at the end of the path.

        Raises:
            TypeError: the handler has other parameters, or `route` is not a GET route.
        """
        parameters = inspect.signature(route.endpoint).parameters
        annotations = [parameter.annotation for parameter in parameters.values()]
        if "GET" not in (route.methods or ()) or annotations not in ([Request], [Request, NumericId]):
            raise TypeError(f"{route.endpoint.__name__} cannot have a fast route")
        self.path = route.path  # OpenTelemetry reads it
        self._route = route
        self._id = list(parameters)[1] if len(parameters) == 2 else None
        self._prefix = route.path.removesuffix(f"{{{self._id}}}")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self._prefix):
            return Match.NONE, {}
        rest = scope["path"][len(self._prefix) :]
        if self._id is None:
            return (Match.NONE, {}) if rest else (Match.FULL, {"route": self._route, "path_params": {}})
        if not (rest.isascii() and rest.isdigit() and len(rest) <= len(str(MAX_ID)) and int(rest) <= MAX_ID):
            return Match.NONE, {}
        return Match.FULL, {"route": self._route, "path_params": {self._id: rest}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        ids = {name: int(value) for name, value in scope["path_params"].items()}
        response = await self._route.endpoint(Request(scope, receive), **ids)
        await response(scope, receive, send)


def find_fast_routes(routers: Iterable[APIRouter], paths: Collection[str]) -> Sequence[FastRoute]:
    """Return a fast route for each path. Raises KeyError for a path without a GET route."""
    routes = {
        route.path: route
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
    return [FastRoute(routes[path]) for path in paths]
