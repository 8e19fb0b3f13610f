"""The lab's control interface: JSON over HTTP on a Unix socket that only its owner may open."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe.observations import ALL, Observations
from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.documents import Document, ManifestError, read_documents
from bookinfo_lab.resources.store import Change, ObjectStore, duplicate_warnings
from bookinfo_lab.runtime.lab import Lab
from bookinfo_lab.server import Server
from bookinfo_lab.translate import describe as rules_for
from bookinfo_lab.translate import warnings

Status = Callable[[], dict[str, Any]]


def serve(lab: Lab, status: Status, observations: Observations, path: Path) -> "Server":
    """A server for `lab` on the Unix socket `path`; run its `serve()`."""
    config = uvicorn.Config(application(lab, status, observations), log_config=None, lifespan="off", ws="none")
    return Server(config, _listen(path))


def application(lab: Lab, status: Status, observations: Observations) -> Starlette:
    """The interface. What the user did wrong is answered with 422 and `{"error": one line}`."""

    async def get_status(_: Request) -> Response:
        return JSONResponse(status())

    async def get_objects(request: Request) -> Response:
        found = lab.objects.select(request.query_params.get("kind"), request.query_params.get("name"))
        return JSONResponse([dict(document.body) for document in found])

    async def get_workload(request: Request) -> Response:
        return JSONResponse(describe(lab, request.path_params["name"]))

    async def apply(request: Request) -> Response:
        documents = await _documents(request)
        changes = await lab.change(lambda applied: applied.apply(documents))
        found = warnings(lab.topology(), lab.rules)
        routes = (f"{item.namespace}/{item.name}" for item in documents if item.kind == "HTTPRoute")
        told = [line for route in dict.fromkeys(routes) for line in found.get(route, [])]
        return JSONResponse([*map(str, changes), *duplicate_warnings(documents), *told])

    async def delete(request: Request) -> Response:
        documents = await _documents(request)
        return await _change(lab, lambda applied: applied.delete(documents))

    async def exchange(request: Request) -> Response:
        body = await request.json()
        added, gone = _read(body["apply"]), _read(body["delete"])
        return await _change(lab, lambda applied: applied.apply_and_delete(added, gone))

    async def reset(_: Request) -> Response:
        await lab.reset()
        return JSONResponse([])

    async def scale(request: Request) -> Response:
        body = await request.json()
        return await _change(lab, lambda applied: applied.scale(body["deployment"], body["replicas"]))

    routes = [
        Route("/status", get_status),
        Route("/objects", get_objects),
        Route("/workloads/{name}", get_workload),
        Route("/apply", apply, methods=["POST"]),
        Route("/delete", delete, methods=["POST"]),
        Route("/exchange", exchange, methods=["POST"]),
        Route("/reset", reset, methods=["POST"]),
        Route("/scale", scale, methods=["POST"]),
        *_observed(observations),
    ]
    return Starlette(routes=routes, exception_handlers={LabError: _refused, ManifestError: _refused})


def _observed(observations: Observations) -> list[Route]:
    async def get_graph(request: Request) -> Response:
        return JSONResponse(observations.graph(float(request.query_params["window"])))

    async def get_traces(_: Request) -> Response:
        return JSONResponse(observations.traces(ALL))

    async def get_trace(request: Request) -> Response:
        return JSONResponse(observations.trace(request.path_params["trace_id"]))

    return [
        Route("/graph", get_graph),
        Route("/traces", get_traces),
        Route("/traces/{trace_id}", get_trace),
    ]


def describe(lab: Lab, name: str) -> dict[str, Any]:
    """What `describe`, `exec`, `proxy` and `config` need to know of a workload or of a gateway."""
    edge = lab.gateways.running.get(name)
    if edge is not None:
        gateway = edge.gateway
        return {
            "name": gateway.name,
            "namespace": gateway.namespace,
            "address": gateway.address,
            "state": edge.envoy.state,
            "spiffe_id": gateway.spiffe_id,
            "labels": dict(gateway.labels),
            "rules": rules_for(lab.topology(), lab.rules, gateway),
            "admin": str(lab.machine.folder / gateway.name / proxy_directory.ADMIN_SOCKET),
        }
    pod = lab.find(name)
    return {
        "name": pod.workload.name,
        "deployment": pod.workload.deployment,
        "namespace": pod.workload.namespace,
        "address": pod.workload.address,
        "state": pod.state,
        "spiffe_id": pod.workload.spiffe_id,
        "labels": dict(pod.workload.labels),
        "rules": rules_for(lab.topology(), lab.rules, pod.workload),
        "folder": str(pod.folder),
        "admin": str(pod.folder / proxy_directory.ADMIN_SOCKET) if pod.sidecar else None,
        "env": dict(pod.env),
        "ignored_fields": list(pod.deployment.ignored_fields),
    }


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _documents(request: Request) -> list[Document]:
    return _read(await request.json())


def _read(sources: list[dict[str, str]]) -> list[Document]:
    return [document for source in sources for document in read_documents(source["text"], source["source"])]


async def _change(lab: Lab, edit: Callable[[ObjectStore], tuple[ObjectStore, list[Change]]]) -> Response:
    return JSONResponse([str(change) for change in await lab.change(edit)])


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    # The kernel takes at most 107 bytes for a socket's path; a state directory's may be longer.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.umask(before)
        os.close(folder)
    listener.listen()
    return listener
