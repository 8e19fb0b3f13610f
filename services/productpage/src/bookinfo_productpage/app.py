"""The HTTP interface of productpage."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from bookinfo_chassis.app import create_service
from bookinfo_chassis.errors import Error, NumericId, bad_id_response, bad_request, limit_body
from bookinfo_chassis.instance import Instance
from bookinfo_chassis.logs import trace_id
from bookinfo_chassis.propagation import RawHeaders, propagated_header
from bookinfo_chassis.transport import HttpTransport
from bookinfo_productpage.assets import ASK_AGAIN, Assets
from bookinfo_productpage.backends import Answer, Backends
from bookinfo_productpage.catalogue import PRODUCTS, Product
from bookinfo_productpage.forwarded import TrustedPeers
from bookinfo_productpage.pages import HEADERS, Pages, Visit, load_pages
from bookinfo_productpage.session import MAX_NAME, Sessions, end_user_header, is_name, sent_by_another_site
from bookinfo_productpage.settings import Settings

BAD_ID = "please provide numeric product id"
NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
BAD_NAME = f"please provide a user name of 1 to {MAX_NAME} characters"
ELSEWHERE = "please sign in on Bookinfo's own page"
MAX_FORM = 16 * 1024
TRACE_ID = re.compile(r"[0-9a-f]{16}([0-9a-f]{16})?")
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

router = APIRouter()


def _end_user(request: Request) -> RawHeaders:
    """The header by which the mesh routes the signed-in user; a header of that name from outside was dropped."""
    sessions: Sessions = request.app.state.sessions
    user = sessions.user(request)
    return [(b"end-user", end_user_header(user))] if user else []


# --- pages ------------------------------------------------------------------------------------------------------------


@router.get("/", response_class=HTMLResponse, tags=["pages"])
@router.get("/index.html", response_class=HTMLResponse, include_in_schema=False)
async def index(request: Request) -> Response:
    """What Bookinfo is, and the way to its page."""
    pages: Pages = request.app.state.pages
    return pages.index.response(request.headers, ASK_AGAIN, HEADERS)


@router.get("/static/{name:path}", include_in_schema=False)
async def static(request: Request, name: str) -> Response:
    """A style sheet, a script, a picture."""
    assets: Assets = request.app.state.assets
    response = assets.response(name, request.headers)
    if response is None:
        raise HTTPException(404)
    return response


@router.get("/productpage", response_class=HTMLResponse, tags=["pages"])
async def productpage(request: Request) -> Response:
    """The book. Always 200: what a backend did not give is named where it would have been."""
    state = request.app.state
    backends: Backends = state.backends
    settings: Settings = state.settings
    sessions: Sessions = state.sessions
    pages: Pages = state.pages
    user = sessions.user(request)
    product = PRODUCTS[0]
    end_user = end_user_header(user) if user else None
    headers = [(b"end-user", end_user)] if end_user else []
    details, reviews = await backends.page(product.id, headers, settings.flood_factor)
    visit = Visit(
        user=user,
        end_user=end_user.decode() if end_user else None,
        trace_id=_shown(TRACE_ID, trace_id()),
        request_id=_shown(REQUEST_ID, propagated_header(b"x-request-id")),
    )
    return pages.product(product, visit, details, reviews)


def _shown(form: re.Pattern[str], value: str | None) -> str | None:
    """An id as the page shows it: not at all unless it looks like one, since anybody can send anything."""
    return value if value and form.fullmatch(value) else None


@router.get("/health", response_class=HTMLResponse, tags=["operations"])
async def health() -> Response:
    """Whether productpage works."""
    return HTMLResponse("Product page is healthy")


# --- session ----------------------------------------------------------------------------------------------------------


@router.post(
    "/login",
    status_code=302,
    response_class=RedirectResponse,
    tags=["session"],
    responses={
        400: {"model": Error, "description": BAD_NAME},
        403: {"model": Error, "description": "Another site's page sent it"},
        413: {"model": Error, "description": "Too long a form"},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["username"],
                        "properties": {
                            "username": {"type": "string", "pattern": NAME_PATTERN, "maxLength": MAX_NAME},
                            "passwd": {"type": "string"},
                        },
                    }
                }
            },
        }
    },
)
async def login(request: Request) -> Response:
    """Sign in as `username`, from the query or the form. Any name and any password will do: this is a sample."""
    if sent_by_another_site(request.headers):
        return JSONResponse({"error": ELSEWHERE}, status_code=403)
    name = request.query_params.get("username") or (await _form(request)).get("username")
    if not isinstance(name, str) or not is_name(name):
        return bad_request(BAD_NAME)
    sessions: Sessions = request.app.state.sessions
    response = RedirectResponse(_back(request), status_code=302)
    sessions.sign_in(request, response, name.strip())
    return response


@router.get("/logout", status_code=302, response_class=RedirectResponse, tags=["session"])
async def logout(request: Request) -> Response:
    """Sign out."""
    sessions: Sessions = request.app.state.sessions
    response = RedirectResponse(_back(request), status_code=302)
    if sessions.user(request) is not None:
        sessions.sign_out(response)
    return response


async def _form(request: Request) -> FormData:
    try:
        return await Request(request.scope, limit_body(request.receive, MAX_FORM)).form(max_files=0)
    except UnicodeError:  # a multipart form may name any character set that Python knows
        return FormData()


def _back(request: Request) -> str:
    """Where the user was, if that was here; else the product page. Never an address of another site."""
    home = "/productpage"
    try:
        referer = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return home
    if referer.netloc != request.headers.get("host") or not referer.path.startswith("/"):
        return home
    if referer.path.startswith("//") or "\\" in referer.path or referer.path in ("/login", "/logout"):
        return home
    return referer.path + (f"?{referer.query}" if referer.query else "")


# --- API --------------------------------------------------------------------------------------------------------------


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


def _proxied(name: str) -> dict[int | str, dict[str, Any]]:
    unavailable = {"model": Error, "description": f"{name} failed; the status is its own, or 500 without an answer"}
    return bad_id_response(BAD_ID) | {500: unavailable, "5XX": unavailable}


def _passed_on(answer: Answer[Any]) -> Response:
    return Response(answer.content, status_code=answer.status, media_type="application/json")


@router.get("/api/v1/products", response_model=list[Product], tags=["products"])
async def products() -> Response:
    """The books."""
    return JSONResponse([product.model_dump() for product in PRODUCTS])


@router.get(
    "/api/v1/products/{product_id}", response_model=ProductDetails, responses=_proxied("details"), tags=["products"]
)
async def product_details(request: Request, product_id: NumericId) -> Response:
    """A book's details."""
    backends: Backends = request.app.state.backends
    return _passed_on(await backends.details.get(product_id, _end_user(request)))


@router.get(
    "/api/v1/products/{product_id}/reviews",
    response_model=ProductReviews,
    responses=_proxied("reviews"),
    tags=["products"],
)
async def product_reviews(request: Request, product_id: NumericId) -> Response:
    """A book's reviews."""
    backends: Backends = request.app.state.backends
    return _passed_on(await backends.reviews.get(product_id, _end_user(request)))


@router.get(
    "/api/v1/products/{product_id}/ratings",
    response_model=ProductRatings,
    responses=_proxied("ratings"),
    tags=["products"],
)
async def product_ratings(request: Request, product_id: NumericId) -> Response:
    """A book's ratings."""
    backends: Backends = request.app.state.backends
    return _passed_on(await backends.ratings.get(product_id, _end_user(request)))


@router.get("/api/v1/products/", include_in_schema=False)
@router.get("/api/v1/products//reviews", include_in_schema=False)
@router.get("/api/v1/products//ratings", include_in_schema=False)
async def product_without_id() -> Response:
    """The id was left out."""
    return bad_request(BAD_ID)


# --- the application --------------------------------------------------------------------------------------------------


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The application. `transport` stands in for the network in tests."""

    @asynccontextmanager
    async def resources(app: FastAPI) -> AsyncIterator[None]:
        urls = {"details": settings.details_url, "reviews": settings.reviews_url, "ratings": settings.ratings_url}
        async with transport or HttpTransport(os.environ, settings.upstream_idle_seconds) as wire:
            app.state.backends = Backends(urls, wire, app.state.registry, app.state.calls)
            yield

    app = create_service(
        "productpage",
        settings,
        [router],
        description="The bookstore's page, and its public API. Any user and any password may sign in: it is a sample.",
        invalid=BAD_ID,
        hot=[productpage],
        resources=resources,
        drop_headers=frozenset({b"end-user"}),
    )
    secret = settings.session_secret.get_secret_value() if settings.session_secret else None
    app.state.sessions = Sessions(secret, TrustedPeers.parse(settings.trusted_proxies))
    app.state.assets = Assets.load(Path(__file__).parent / "static")
    app.state.pages = load_pages(app.state.assets.urls, Instance.from_settings(settings), settings.trace_url_template)
    return app
