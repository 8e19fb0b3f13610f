"""The HTTP interface of details."""

import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from bookinfo_chassis.app import create_service
from bookinfo_chassis.client import Upstream
from bookinfo_chassis.errors import Error, NumericId, bad_id_response, bad_request
from bookinfo_chassis.health import Status
from bookinfo_chassis.transport import HttpTransport
from bookinfo_details.external import TIME_LIMIT, ExternalBooks, ExternalServiceError
from bookinfo_details.model import Details, known_details
from bookinfo_details.settings import Settings

logger = logging.getLogger(__name__)

BAD_ID = "please provide numeric product id"

router = APIRouter()


@router.get("/health", response_model=Status)
async def health() -> Response:
    """Whether details works."""
    return JSONResponse({"status": "Details is healthy"})


@router.get(
    "/details/{product_id}",
    response_model=Details,
    responses=bad_id_response(BAD_ID)
    | {502: {"model": Error, "description": "v2: the external book service failed"}}
    | {504: {"model": Error, "description": "v2: the external book service was too slow"}},
)
async def details(request: Request, product_id: NumericId) -> Response:
    """The details of a book."""
    books: ExternalBooks | None = request.app.state.external_books
    try:
        found = await books.details(product_id) if books else known_details(product_id)
    except ExternalServiceError as error:
        logger.warning("no details of book %d: %s", product_id, error)
        return JSONResponse({"error": str(error)}, status_code=error.status)
    return Response(found.model_dump_json(by_alias=True), media_type="application/json")


@router.get("/details", include_in_schema=False)
@router.get("/details/", include_in_schema=False)
async def details_without_id() -> Response:
    """The id was left out."""
    return bad_request(BAD_ID)


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The application. `transport` stands in for the network in tests."""

    @asynccontextmanager
    async def resources(app: FastAPI) -> AsyncIterator[None]:
        if not settings.external:
            yield
            return
        async with transport or _network(settings) as wire:
            upstream = Upstream(settings.external_books_url, wire, TIME_LIMIT, app.state.calls, propagate=False)
            app.state.external_books = ExternalBooks(upstream)
            yield

    app = create_service(
        "details",
        settings,
        [router],
        description="The facts about a book: author, publisher, ISBN.",
        invalid=BAD_ID,
        hot=[details],
        resources=resources,
    )
    app.state.external_books = None
    return app


def _network(settings: Settings) -> HttpTransport:
    trust = ssl.create_default_context(cafile=settings.external_books_ca_file)
    return HttpTransport(os.environ, settings.upstream_idle_seconds, trust)
