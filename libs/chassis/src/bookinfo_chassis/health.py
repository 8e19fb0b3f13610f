"""Liveness and readiness. They differ while a service drains: it is alive, but must receive no new traffic."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

PROBES = frozenset({"/livez", "/readyz", "/health"})
"""Paths of health probes. Fault injection does not apply to them."""


class Lifecycle:
    """The state of a service between its start and its exit."""

    def __init__(self) -> None:
        self.ready = False


class Status(BaseModel):
    """The response to a probe."""

    status: str


def create_router(lifecycle: Lifecycle) -> APIRouter:
    """Return the routes of the probes that every service has."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", response_model=Status)
    async def livez() -> Response:
        """Whether the process is alive. If not, restart it."""
        return JSONResponse({"status": "alive"})

    @router.get(
        "/readyz", response_model=Status, responses={503: {"model": Status, "description": "Starting or draining"}}
    )
    async def readyz() -> Response:
        """Whether the service accepts new requests."""
        if lifecycle.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready"}, status_code=503)

    return router
