"""The HTTP interface of details."""

import logging
import ssl

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bookinfo_chassis.app import Service, create_service
from bookinfo_chassis.client import Upstream, create_transport
from bookinfo_chassis.errors import Error, NumericId, bad_request, invalid_id_response
from bookinfo_chassis.health import Status
from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_details.external import TIME_LIMIT, ExternalBooks, ExternalServiceError
from bookinfo_details.model import Details, built_in_details
from bookinfo_details.settings import Settings

logger = logging.getLogger(__name__)

INVALID_ID = "please provide numeric product id"


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Service:
    """Return the application. Tests pass a `transport` that replaces the network."""
    metrics = ServiceMetrics.create()
    external_books = None
    if settings.uses_external_service:
        transport = transport or _create_transport(settings)
        upstream = Upstream(settings.external_books_url, transport, TIME_LIMIT, metrics.calls, propagate=False)
        external_books = ExternalBooks(upstream)
    return create_service(
        "details",
        settings,
        [create_router(external_books)],
        description="Details of a book, such as its author, publisher and ISBN.",
        validation_error=INVALID_ID,
        service_metrics=metrics,
        transport=transport,
        fast_routes=["/details/{product_id}"],
    )


def _create_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    trusted = ssl.create_default_context(cafile=settings.external_books_ca_file)
    return create_transport(settings, trusted)


def create_router(external_books: ExternalBooks | None) -> APIRouter:
    """Return the routes of details. Without `external_books`, the details are built in."""
    router = APIRouter()

    @router.get("/health", response_model=Status)
    async def health() -> Response:
        """Whether details works."""
        return JSONResponse({"status": "Details is healthy"})

    @router.get(
        "/details/{product_id}",
        response_model=Details,
        responses=invalid_id_response(INVALID_ID)
        | {502: {"model": Error, "description": "v2: the external book service failed"}}
        | {504: {"model": Error, "description": "v2: the external book service did not respond in time"}},
    )
    async def details(_request: Request, product_id: NumericId) -> Response:
        """The details of a book."""
        try:
            found = await external_books.details(product_id) if external_books else built_in_details(product_id)
        except ExternalServiceError as error:
            logger.warning("no details for book %d: %s", product_id, error)
            return JSONResponse({"error": str(error)}, status_code=error.status)
        return Response(found.model_dump_json(by_alias=True), media_type="application/json")

    @router.get("/details", include_in_schema=False)
    @router.get("/details/", include_in_schema=False)
    async def details_without_id() -> Response:
        """Reject a request without an id."""
        return bad_request(INVALID_ID)

    return router
