"""The HTTP interface of ratings."""

from typing import Annotated

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema
from starlette.exceptions import HTTPException

from bookinfo_chassis.app import create_service
from bookinfo_chassis.errors import Error, NumericId, bad_id_response, bad_request, limit_body
from bookinfo_chassis.health import Status
from bookinfo_ratings.settings import Settings
from bookinfo_ratings.sickness import Sickness
from bookinfo_ratings.store import MAX_BOOKS, Store, StoreFullError

BAD_ID = "please provide numeric product ID"
BAD_RATINGS = "please provide valid ratings JSON"
UNAVAILABLE = "Service unavailable"

MAX_BODY = 64 * 1024
MAX_REVIEWERS = 100

Reviewer = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Stars = Annotated[
    int,
    Field(strict=True, ge=1, le=5),
    WithJsonSchema({"type": "integer", "enum": [1, 2, 3, 4, 5]}),  # by bounds alone, JSON Schema would allow 2.0
]
PostedRatings = Annotated[dict[Reviewer, Stars], Field(max_length=MAX_REVIEWERS)]

posted_ratings: TypeAdapter[dict[str, int]] = TypeAdapter(PostedRatings)


class Ratings(BaseModel):
    """A book's stars by reviewer."""

    id: int
    ratings: dict[str, int]


router = APIRouter()


@router.get(
    "/health",
    response_model=Status,
    responses={500: {"model": Status, "description": "v-unhealthy, in its bad period"}},
)
async def health(request: Request) -> Response:
    """Whether ratings works."""
    sickness: Sickness = request.app.state.sickness
    if sickness.healthy:
        return JSONResponse({"status": "Ratings is healthy"})
    return JSONResponse({"status": "Ratings is not healthy"}, status_code=500)


@router.get(
    "/ratings/{product_id}",
    response_model=Ratings,
    responses=bad_id_response(BAD_ID) | {503: {"model": Error, "description": UNAVAILABLE}},
)
async def get_ratings(request: Request, product_id: NumericId) -> Response:
    """The stars that each reviewer gave a book."""
    sickness: Sickness = request.app.state.sickness
    store: Store = request.app.state.store
    if await sickness.strike():
        return JSONResponse({"error": UNAVAILABLE}, status_code=503)
    return JSONResponse({"id": product_id, "ratings": store.get(product_id)})


@router.post(
    "/ratings/{product_id}",
    response_model=Ratings,
    responses={
        400: {"model": Error, "description": f"{BAD_ID}, or {BAD_RATINGS}"},
        507: {"model": Error, "description": f"There are ratings of {MAX_BOOKS} books already"},
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": posted_ratings.json_schema()}}}
    },
)
async def post_ratings(request: Request, product_id: NumericId) -> Response:
    """Replace a book's ratings: reviewer to stars, 1 to 5. They are kept until the process ends."""
    store: Store = request.app.state.store
    try:
        body = await Request(request.scope, limit_body(request.receive, MAX_BODY)).body()
        ratings = posted_ratings.validate_json(body)
        store.put(product_id, ratings)
    except (HTTPException, ValidationError):
        return bad_request(BAD_RATINGS)
    except StoreFullError:
        return JSONResponse({"error": f"there are ratings of {MAX_BOOKS} books already"}, status_code=507)
    return JSONResponse({"id": product_id, "ratings": ratings})


@router.get("/ratings", include_in_schema=False)
@router.get("/ratings/", include_in_schema=False)
@router.post("/ratings", include_in_schema=False)
@router.post("/ratings/", include_in_schema=False)
async def ratings_without_id() -> Response:
    """The id was left out."""
    return bad_request(BAD_ID)


def create_app(settings: Settings, sickness: Sickness | None = None) -> FastAPI:
    """The application. `sickness` brings a clock of its own in tests."""
    app = create_service(
        "ratings",
        settings,
        [router],
        description="The stars that each reviewer gave a book.",
        invalid=BAD_ID,
        hot=[get_ratings],
    )
    app.state.store = Store()
    app.state.sickness = sickness or Sickness(settings)
    return app
