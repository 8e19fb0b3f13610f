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
from bookinfo_lab.resources.store import ObjectStore
from bookinfo_lab.runtime.lab import Lab
from bookinfo_lab.watch import views
from bookinfo_lab.watch.feed import Events, Feed
from bookinfo_lab.watch.guard import Guard
from bookinfo_lab.watch.jobs import LoadJob, ScenarioJob

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageContext:
    """The objects that the page shows, and the jobs that its buttons start."""

    lab: Lab
    start: ObjectStore  # the objects with which the lab was started
    status: Callable[[], dict[str, Any]]
    observations: Observations
    scenario_job: ScenarioJob
    load_job: LoadJob


def topics(context: PageContext) -> dict[str, Callable[[], Any]]:
    """Return the states that are pushed to the page when they change."""
    return {
        "lab": context.status,
        "graph": context.observations.graph,
        "traces": context.observations.traces,
        "objects": lambda: views.objects(context.lab.objects, context.start),
        "scenario": context.scenario_job.state,
        "load": context.load_job.state,
    }


def application(context: PageContext, feed: Feed) -> ASGIApp:
    """Return the application. A rejected request gets 422 and `{"error": MESSAGE}`. Only POST changes anything."""
    routes = [
        Route("/", _file("index.html")),
        *(Route(f"/static/{name}", _file(name)) for name in _static()),
        Route("/events", Events(feed), methods=["GET"]),
        *_read_routes(context),
        *_change_routes(context, feed),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={LabError: _rejected, ManifestError: _rejected}))


def _read_routes(context: PageContext) -> list[Route]:
    async def scenarios(_: Request) -> Response:
        return JSONResponse(views.scenarios())

    async def trace(request: Request) -> Response:
        return JSONResponse(context.observations.trace(request.path_params["trace_id"]))

    async def manifest(request: Request) -> Response:
        named = request.path_params
        text = views.manifest(context.lab.objects, named["kind"], named["namespace"], named["name"])
        return PlainTextResponse(text)

    return [
        Route("/api/scenarios", scenarios),
        Route("/api/traces/{trace_id}", trace),
        Route("/api/objects/{kind}/{namespace}/{name}", manifest),
    ]


def _change_routes(context: PageContext, feed: Feed) -> list[Route]:
    async def start_scenario(request: Request) -> Response:
        body = await _body(request, scenario=str, step=(int, type(None)))
        await context.load_job.close()  # the claims of the scenario would count its requests
        context.scenario_job.start(body["scenario"], body["step"])
        return JSONResponse({})

    async def stop_scenario(request: Request) -> Response:
        await _body(request)
        context.scenario_job.stop()
        return JSONResponse({})

    async def reset(request: Request) -> Response:
        await _body(request)
        if context.scenario_job.running:
            raise LabError("a scenario is running; wait until it ends, or stop it")
        await context.lab.reset()
        feed.request_update()
        return JSONResponse({})

    async def start_load(request: Request) -> Response:
        body = await _body(request, rps=(int, float), seconds=(int, float))
        if context.scenario_job.running:
            raise LabError("a scenario is running and counts requests; wait until it ends, or stop it")
        await context.load_job.start(body["rps"], body["seconds"])
        return JSONResponse({})

    async def stop_load(request: Request) -> Response:
        await _body(request)
        await context.load_job.close()
        return JSONResponse({})

    return [
        Route("/api/scenario", start_scenario, methods=["POST"]),
        Route("/api/scenario/stop", stop_scenario, methods=["POST"]),
        Route("/api/reset", reset, methods=["POST"]),
        Route("/api/load", start_load, methods=["POST"]),
        Route("/api/load/stop", stop_load, methods=["POST"]),
    ]


async def _rejected(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _body(request: Request, **fields: type | tuple[type, ...]) -> dict[str, Any]:
    """Return the JSON object in the request, with exactly these fields.

    Raises:
        LabError: the body is anything else.
    """
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested too deeply
        body = None
    if (
        not isinstance(body, dict)
        or body.keys() != fields.keys()
        or any(not isinstance(body[name], kind) or isinstance(body[name], bool) for name, kind in fields.items())
    ):
        raise LabError(f"invalid body; send a JSON object with {', '.join(fields) or 'no field'}")
    return body


def _static() -> list[str]:
    return sorted(item.name for item in resources.files(__package__).joinpath("static").iterdir())


def _file(name: str) -> Callable[[Request], Response]:
    """Return an endpoint for a static file. The files are small, so each is read once."""
    text = resources.files(__package__).joinpath("static", name).read_bytes()
    media_type = _TYPES[name[name.rindex(".") :]]

    def serve(_: Request) -> Response:
        return Response(text, media_type=media_type)

    return serve
