"""The watch page's web application."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe.observations import Observations
from bookinfo_lab.resources.documents import ManifestError
from bookinfo_lab.resources.store import Objects
from bookinfo_lab.runtime.lab import Lab
from bookinfo_lab.watch import views
from bookinfo_lab.watch.feed import Events, Feed
from bookinfo_lab.watch.guard import Guard
from bookinfo_lab.watch.jobs import Lessons, Load

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Watched:
    """What is to be seen, and what the buttons work on."""

    lab: Lab
    start: Objects  # with which the lab was started
    status: Callable[[], dict[str, Any]]
    observations: Observations
    lessons: Lessons
    load: Load


def topics(watched: Watched) -> dict[str, Callable[[], Any]]:
    """What the page is told of as it changes."""
    return {
        "lab": watched.status,
        "graph": watched.observations.graph,
        "traces": watched.observations.traces,
        "objects": lambda: views.objects(watched.lab.objects, watched.start),
        "lesson": watched.lessons.state,
        "load": watched.load.state,
    }


def application(watched: Watched, feed: Feed) -> ASGIApp:
    """The page. What cannot be done is answered with 422 and `{"error": one line}`; only POST changes anything."""
    routes = [
        Route("/", _file("index.html")),
        *(Route(f"/static/{name}", _file(name)) for name in _static()),
        Route("/events", Events(feed), methods=["GET"]),
        *_reading(watched),
        *_changing(watched, feed),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={LabError: _refused, ManifestError: _refused}))


def _reading(watched: Watched) -> list[Route]:
    async def scenarios(_: Request) -> Response:
        return JSONResponse(views.scenarios())

    async def trace(request: Request) -> Response:
        return JSONResponse(watched.observations.trace(request.path_params["trace_id"]))

    async def manifest(request: Request) -> Response:
        named = request.path_params
        text = views.manifest(watched.lab.objects, named["kind"], named["namespace"], named["name"])
        return PlainTextResponse(text)

    return [
        Route("/api/scenarios", scenarios),
        Route("/api/traces/{trace_id}", trace),
        Route("/api/objects/{kind}/{namespace}/{name}", manifest),
    ]


def _changing(watched: Watched, feed: Feed) -> list[Route]:
    async def run_lesson(request: Request) -> Response:
        body = await _body(request, scenario=str, step=(int, type(None)))
        await watched.load.close()  # its requests would be counted among the scenario's
        watched.lessons.start(body["scenario"], body["step"])
        return JSONResponse({})

    async def stop_lesson(request: Request) -> Response:
        await _body(request)
        watched.lessons.stop()
        return JSONResponse({})

    async def reset(request: Request) -> Response:
        await _body(request)
        if watched.lessons.running:
            raise LabError("a scenario is running; wait for it, or stop it")
        await watched.lab.reset()
        feed.hurry()
        return JSONResponse({})

    async def run_load(request: Request) -> Response:
        body = await _body(request, rps=(int, float), seconds=(int, float))
        if watched.lessons.running:
            raise LabError("a scenario is running, and counts its own requests; wait for it, or stop it")
        await watched.load.start(body["rps"], body["seconds"])
        return JSONResponse({})

    async def stop_load(request: Request) -> Response:
        await _body(request)
        await watched.load.close()
        return JSONResponse({})

    return [
        Route("/api/lesson", run_lesson, methods=["POST"]),
        Route("/api/lesson/stop", stop_lesson, methods=["POST"]),
        Route("/api/reset", reset, methods=["POST"]),
        Route("/api/load", run_load, methods=["POST"]),
        Route("/api/load/stop", stop_load, methods=["POST"]),
    ]


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _body(request: Request, **fields: type | tuple[type, ...]) -> dict[str, Any]:
    """The request's JSON object, of exactly these fields.

    Raises:
        LabError: it is something else.
    """
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or too deep
        body = None
    if (
        not isinstance(body, dict)
        or body.keys() != fields.keys()
        or any(not isinstance(body[name], kind) or isinstance(body[name], bool) for name, kind in fields.items())
    ):
        raise LabError(f"send a JSON object with {', '.join(fields) or 'nothing'} in it")
    return body


def _static() -> list[str]:
    return sorted(item.name for item in resources.files(__package__).joinpath("static").iterdir())


def _file(name: str) -> Callable[[Request], Response]:
    """An endpoint for one of the page's files, which are read once: few, small, and they belong to this program."""
    text = resources.files(__package__).joinpath("static", name).read_bytes()
    media_type = _TYPES[name[name.rindex(".") :]]

    def serve(_: Request) -> Response:
        return Response(text, media_type=media_type)

    return serve
