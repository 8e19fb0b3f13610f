"""The HTTP interface of ratings."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema
from starlette.exceptions import HTTPException

from bookinfo_chassis.app import Service, create_service
from bookinfo_chassis.errors import Error, NumericId, bad_request, invalid_id_response, limit_body
from bookinfo_chassis.health import Status
from bookinfo_ratings.fault_mode import FaultMode
from bookinfo_ratings.settings import Settings
from bookinfo_ratings.store import MAX_BOOKS, Store, StoreFullError

INVALID_ID = "please provide numeric product ID"
INVALID_RATINGS = "please provide valid ratings JSON"
UNAVAILABLE = "Service unavailable"
STORE_FULL = f"the store already has ratings for {MAX_BOOKS} books"

MAX_BODY = 64 * 1024
MAX_REVIEWERS = 100

Reviewer = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Stars = Annotated[
    int,
    Field(strict=True, ge=1, le=5),
    WithJsonSchema({"type": "integer", "enum": [1, 2, 3, 4, 5]}),  # with bounds alone, JSON Schema would allow 2.0
]
PostedRatings = Annotated[dict[Reviewer, Stars], Field(max_length=MAX_REVIEWERS)]

posted_ratings: TypeAdapter[dict[str, int]] = TypeAdapter(PostedRatings)


class Ratings(BaseModel):
    """The stars of a book by reviewer."""

    id: int
    ratings: dict[str, int]


def create_app(settings: Settings, fault_mode: FaultMode | None = None, store: Store | None = None) -> Service:
    """Return the application. Tests pass a `fault_mode` with their own clock, and a `store` with content."""
    return create_service(
        "ratings",
        settings,
        [create_router(fault_mode or FaultMode(settings), store or Store())],
        description="The stars that each reviewer gave a book.",
        validation_error=INVALID_ID,
        fast_routes=["/ratings/{product_id}"],
    )


def create_router(fault_mode: FaultMode, store: Store) -> APIRouter:
    """Return the routes of ratings."""
    router = APIRouter()

    @router.get(
        "/health",
        response_model=Status,
        responses={500: {"model": Status, "description": "v-unhealthy, in its faulty period"}},
    )
    async def health() -> Response:
        """Whether ratings works."""
        if fault_mode.healthy:
            return JSONResponse({"status": "Ratings is healthy"})
        return JSONResponse({"status": "Ratings is not healthy"}, status_code=500)

    @router.get(
        "/ratings/{product_id}",
        response_model=Ratings,
        responses=invalid_id_response(INVALID_ID) | {503: {"model": Error, "description": UNAVAILABLE}},
    )
    async def get_ratings(_request: Request, product_id: NumericId) -> Response:
        """The stars that each reviewer gave a book."""
        if await fault_mode.apply():
            return JSONResponse({"error": UNAVAILABLE}, status_code=503)
        return JSONResponse({"id": product_id, "ratings": store.get(product_id)})

    @router.post(
        "/ratings/{product_id}",
        response_model=Ratings,
        responses={
            400: {"model": Error, "description": f"{INVALID_ID}, or {INVALID_RATINGS}"},
            507: {"model": Error, "description": STORE_FULL},
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": posted_ratings.json_schema()}}}
        },
    )
    async def post_ratings(request: Request, product_id: NumericId) -> Response:
        """Replace the ratings of a book: 1 to 5 stars by reviewer. They are kept until the process exits."""
        try:
            body = await Request(request.scope, limit_body(request.receive, MAX_BODY)).body()
            ratings = posted_ratings.validate_json(body)
            store.put(product_id, ratings)
        except (HTTPException, ValidationError):
            return bad_request(INVALID_RATINGS)
        except StoreFullError:
            return JSONResponse({"error": STORE_FULL}, status_code=507)
        return JSONResponse({"id": product_id, "ratings": ratings})

    @router.get("/ratings", include_in_schema=False)
    @router.get("/ratings/", include_in_schema=False)
    @router.post("/ratings", include_in_schema=False)
    @router.post("/ratings/", include_in_schema=False)
    async def ratings_without_id() -> Response:
        """Reject a request without an id."""
        return bad_request(INVALID_ID)

    return router
