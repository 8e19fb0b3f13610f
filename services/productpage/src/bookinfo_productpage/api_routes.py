"""The routes of the public API: the responses of the backends, forwarded unchanged."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from bookinfo_chassis.errors import Error, NumericId, bad_request, invalid_id_response
from bookinfo_chassis.propagation import RawHeaders
from bookinfo_productpage.backends import BackendResponse, Backends
from bookinfo_productpage.catalog import PRODUCTS, Product
from bookinfo_productpage.session import Sessions, end_user_header

INVALID_ID = "please provide numeric product id"


class ProductDetails(BaseModel, extra="allow"):
    """See the API of details."""

    id: int


class ProductReviews(BaseModel, extra="allow"):
    """See the API of reviews."""

    reviews: list[dict[str, Any]]


class ProductRatings(BaseModel):
    """See the API of ratings."""

    id: int
    ratings: dict[str, int]


def create_router(backends: Backends, sessions: Sessions) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["products"])

    def end_user(request: Request) -> RawHeaders:
        """Return the header of the signed-in user, by which the mesh routes. Clients cannot set it themselves."""
        user = sessions.user(request)
        return [(b"end-user", end_user_header(user))] if user else []

    @router.get("/api/v1/products", response_model=list[Product])
    async def products() -> Response:
        """All books."""
        return JSONResponse([product.model_dump() for product in PRODUCTS])

    @router.get("/api/v1/products/{product_id}", response_model=ProductDetails, responses=_error_responses("details"))
    async def product_details(request: Request, product_id: NumericId) -> Response:
        """The details of a book."""
        return _forward(await backends.details.get(product_id, end_user(request)))

    @router.get(
        "/api/v1/products/{product_id}/reviews", response_model=ProductReviews, responses=_error_responses("reviews")
    )
    async def product_reviews(request: Request, product_id: NumericId) -> Response:
        """The reviews of a book."""
        return _forward(await backends.reviews.get(product_id, end_user(request)))

    @router.get(
        "/api/v1/products/{product_id}/ratings", response_model=ProductRatings, responses=_error_responses("ratings")
    )
    async def product_ratings(request: Request, product_id: NumericId) -> Response:
        """The ratings of a book."""
        return _forward(await backends.ratings.get(product_id, end_user(request)))

    @router.get("/api/v1/products/", include_in_schema=False)
    @router.get("/api/v1/products//reviews", include_in_schema=False)
    @router.get("/api/v1/products//ratings", include_in_schema=False)
    async def product_without_id() -> Response:
        """Reject a request without an id."""
        return bad_request(INVALID_ID)

    return router


def _forward(response: BackendResponse[Any]) -> Response:
    return Response(response.content, status_code=response.status, media_type="application/json")


def _error_responses(backend: str) -> dict[int | str, dict[str, Any]]:
    description = f"{backend} failed; the status is that of {backend}, or 500 if there was no response"
    unavailable = {"model": Error, "description": description}
    return invalid_id_response(INVALID_ID) | {500: unavailable, "5XX": unavailable}
