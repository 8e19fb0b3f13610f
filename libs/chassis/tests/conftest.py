"""A service that consists of the chassis and a few test routes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.testclient import TestClient

from bookinfo_chassis.app import create_service
from bookinfo_chassis.errors import NumericId, limit_body
from bookinfo_chassis.propagation import propagated_headers
from bookinfo_chassis.settings import ServiceSettings

Start = Callable[..., TestClient]


def _routes() -> APIRouter:
    router = APIRouter()

    @router.get("/things/{thing_id}")
    async def thing(thing_id: NumericId) -> Response:
        return JSONResponse({"id": thing_id})

    @router.post("/things/{thing_id}")
    async def upload(request: Request, thing_id: NumericId) -> Response:
        body = await Request(request.scope, limit_body(request.receive, 10)).body()
        return JSONResponse({"id": thing_id, "size": len(body)})

    @router.get("/unhandled-error")
    async def unhandled_error() -> Response:
        raise RuntimeError("an internal detail")

    @router.get("/incomplete")
    async def incomplete() -> Response:
        async def body() -> Any:
            yield b"half"
            raise RuntimeError("the second half is missing")

        return StreamingResponse(body())

    @router.get("/headers")
    async def headers() -> Response:
        return JSONResponse([[name.decode(), value.decode("latin-1")] for name, value in propagated_headers()])

    return router


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the service with the given settings. It is stopped after the test."""
    with ExitStack() as running:

        def _start(dropped_headers: frozenset[bytes] = frozenset(), **settings: Any) -> TestClient:
            app = create_service(
                "chassis",
                ServiceSettings.load(**settings),
                [_routes()],
                description="A service that consists of the chassis.",
                validation_error="please provide a number",
                dropped_headers=dropped_headers,
            )
            return running.enter_context(TestClient(app))

        yield _start
