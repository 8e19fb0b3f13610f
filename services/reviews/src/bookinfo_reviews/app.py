"""The HTTP interface of reviews."""

import httpx
from fastapi import APIRouter, Request, Response

from bookinfo_chassis.app import Service, create_service
from bookinfo_chassis.client import Upstream, create_transport
from bookinfo_chassis.errors import NumericId, bad_request, invalid_id_response
from bookinfo_chassis.health import Status
from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_reviews.model import PodFields, Reviews, reviews_json
from bookinfo_reviews.ratings_client import RatingsClient
from bookinfo_reviews.settings import Settings

INVALID_ID = "please provide numeric product id"


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Service:
    """Return the application. Tests pass a `transport` that replaces the network."""
    metrics = ServiceMetrics.create()
    ratings_client = None
    if settings.shows_ratings:
        transport = transport or create_transport(settings)
        upstream = Upstream(settings.ratings_url, transport, settings.ratings_time_limit, metrics.calls)
        ratings_client = RatingsClient(upstream)
    pod = PodFields(settings.hostname, settings.cluster_name, settings.color)
    return create_service(
        "reviews",
        settings,
        [create_router(pod, ratings_client)],
        description="Reviews of a book. v1 shows no stars, v2 black stars, v3 red stars.",
        validation_error=INVALID_ID,
        service_metrics=metrics,
        transport=transport,
        fast_routes=["/reviews/{product_id}"],
    )


def create_router(pod: PodFields, ratings_client: RatingsClient | None) -> APIRouter:
    """Return the routes of reviews. Without `ratings_client`, the reviews have no stars."""
    router = APIRouter()

    @router.get("/health", response_model=Status)
    async def health() -> Response:
        """Whether reviews works."""
        return Response('{"status": "Reviews is healthy"}', media_type="application/json")

    @router.get(
        "/reviews/{product_id}",
        response_model=Reviews,
        response_model_exclude_unset=True,
        responses=invalid_id_response(INVALID_ID),
    )
    async def reviews(_request: Request, product_id: NumericId) -> Response:
        """The reviews of a book. v2 and v3 add stars, or the error if ratings are unavailable."""
        ratings = await ratings_client.ratings(product_id) if ratings_client else None
        text = reviews_json(product_id, pod, ratings, shows_ratings=ratings_client is not None)
        return Response(text, media_type="application/json")

    @router.get("/reviews", include_in_schema=False)
    @router.get("/reviews/", include_in_schema=False)
    async def reviews_without_id() -> Response:
        """Reject a request without an id."""
        return bad_request(INVALID_ID)

    return router
