"""The HTTP interface of reviews."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter, FastAPI, Request, Response

from bookinfo_chassis.app import create_service
from bookinfo_chassis.client import Upstream
from bookinfo_chassis.errors import NumericId, bad_id_response, bad_request
from bookinfo_chassis.health import Status
from bookinfo_chassis.transport import HttpTransport
from bookinfo_reviews.model import Origin, Reviews, reviews_json
from bookinfo_reviews.ratings_client import RatingsClient
from bookinfo_reviews.settings import Settings

BAD_ID = "please provide numeric product id"

router = APIRouter()


@router.get("/health", response_model=Status)
async def health() -> Response:
    """Whether reviews works."""
    return Response('{"status": "Reviews is healthy"}', media_type="application/json")


@router.get(
    "/reviews/{product_id}",
    response_model=Reviews,
    response_model_exclude_unset=True,
    responses=bad_id_response(BAD_ID),
)
async def reviews(request: Request, product_id: NumericId) -> Response:
    """A book's reviews; with stars in v2 (black) and v3 (red), or with the reason why there are none."""
    client: RatingsClient | None = request.app.state.ratings
    ratings = await client.ratings(product_id) if client else None
    text = reviews_json(product_id, request.app.state.origin, ratings, shows_ratings=client is not None)
    return Response(text, media_type="application/json")


@router.get("/reviews", include_in_schema=False)
@router.get("/reviews/", include_in_schema=False)
async def reviews_without_id() -> Response:
    """The id was left out."""
    return bad_request(BAD_ID)


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The application. `transport` stands in for the network in tests."""

    @asynccontextmanager
    async def resources(app: FastAPI) -> AsyncIterator[None]:
        if not settings.shows_ratings:
            yield
            return
        async with transport or HttpTransport(os.environ, settings.upstream_idle_seconds) as wire:
            upstream = Upstream(settings.ratings_url, wire, settings.ratings_time_limit, app.state.calls)
            app.state.ratings = RatingsClient(upstream)
            yield

    app = create_service(
        "reviews",
        settings,
        [router],
        description="What readers say of a book. v1 shows no stars, v2 black ones, v3 red ones.",
        invalid=BAD_ID,
        hot=[reviews],
        resources=resources,
    )
    app.state.ratings = None
    app.state.origin = Origin(settings.hostname, settings.cluster_name, settings.color)
    return app
