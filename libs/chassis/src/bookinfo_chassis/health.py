"""Liveness and readiness. Live is not ready: a service that drains is alive, and wants no new traffic."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

PROBES = frozenset({"/livez", "/readyz", "/health"})
"""Paths that platforms ask: never failed on purpose."""


class Lifecycle:
    """Where a service stands between start and exit."""

    def __init__(self) -> None:
        self.ready = False


class Status(BaseModel):
    """The answer of a probe."""

    status: str


router = APIRouter(tags=["operations"])


@router.get("/livez", response_model=Status)
async def livez() -> Response:
    """Whether the process is alive; restarting it is the cure when it is not."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", response_model=Status, responses={503: {"model": Status, "description": "Starting or draining"}})
async def readyz(request: Request) -> Response:
    """Whether new requests are wanted."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    if lifecycle.ready:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready"}, status_code=503)
