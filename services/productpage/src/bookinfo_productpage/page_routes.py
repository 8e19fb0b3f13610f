"""The routes of the pages and of the static files."""

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from bookinfo_chassis.logs import trace_id
from bookinfo_chassis.propagation import propagated_header
from bookinfo_productpage.assets import REVALIDATE, Assets
from bookinfo_productpage.backends import Backends
from bookinfo_productpage.catalog import PRODUCTS
from bookinfo_productpage.pages import HEADERS, Pages, RequestInfo
from bookinfo_productpage.session import Sessions, end_user_header

TRACE_ID = re.compile(r"[0-9a-f]{16}([0-9a-f]{16})?")
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def create_router(pages: Pages, assets: Assets, backends: Backends, sessions: Sessions, flood_factor: int) -> APIRouter:
    """Return the routes. `flood_factor` is the number of extra calls to reviews before each page."""
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse, tags=["pages"])
    @router.get("/index.html", response_class=HTMLResponse, include_in_schema=False)
    async def index(request: Request) -> Response:
        """The landing page, which describes Bookinfo and links to the product page."""
        return pages.index.response(request.headers, REVALIDATE, HEADERS)

    @router.get("/static/{name:path}", include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        """A static file: a style sheet, a script or an image."""
        response = assets.response(name, request.headers)
        if response is None:
            raise HTTPException(404)
        return response

    @router.get("/productpage", response_class=HTMLResponse, tags=["pages"])
    async def productpage(request: Request) -> Response:
        """The product page. The status is always 200: the page shows an error in place of a missing section."""
        user = sessions.user(request)
        product = PRODUCTS[0]
        end_user = end_user_header(user) if user else None
        headers = [(b"end-user", end_user)] if end_user else []
        details, reviews = await backends.load_page(product.id, headers, flood_factor)
        request_info = RequestInfo(
            user=user,
            end_user=end_user.decode() if end_user else None,
            trace_id=_if_valid(TRACE_ID, trace_id()),
            request_id=_if_valid(REQUEST_ID, propagated_header(b"x-request-id")),
        )
        return pages.product(product, request_info, details, reviews)

    @router.get("/health", response_class=HTMLResponse, tags=["operations"])
    async def health() -> Response:
        """Whether productpage works."""
        return HTMLResponse("Product page is healthy")

    return router


def _if_valid(pattern: re.Pattern[str], value: str | None) -> str | None:
    """Return an id if it is valid. The page shows no other value, because any client can send any header."""
    return value if value and pattern.fullmatch(value) else None
