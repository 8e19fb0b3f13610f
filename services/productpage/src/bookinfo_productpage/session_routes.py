"""The routes for signing in and out."""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.datastructures import FormData

from bookinfo_chassis.errors import Error, bad_request, limit_body
from bookinfo_productpage.session import MAX_NAME, Sessions, is_cross_site, is_valid_name

NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
INVALID_NAME = f"please provide a user name of 1 to {MAX_NAME} characters"
CROSS_SITE = "please sign in on Bookinfo's own page"
MAX_FORM = 16 * 1024

LOGIN_FORM = {
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
}
"""The API description of the form. The handler reads the form itself, because it also accepts a query."""


def create_router(sessions: Sessions) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post(
        "/login",
        status_code=302,
        response_class=RedirectResponse,
        tags=["session"],
        responses={
            400: {"model": Error, "description": INVALID_NAME},
            403: {"model": Error, "description": "The request comes from the page of another site"},
            413: {"model": Error, "description": "The form is too long"},
        },
        openapi_extra=LOGIN_FORM,
    )
    async def login(request: Request) -> Response:
        """Sign in as `username` of the query or the form. Any name and password are accepted: this is a sample."""
        if is_cross_site(request.headers):
            return JSONResponse({"error": CROSS_SITE}, status_code=403)
        name = request.query_params.get("username") or (await _form(request)).get("username")
        if not isinstance(name, str) or not is_valid_name(name):
            return bad_request(INVALID_NAME)
        response = RedirectResponse(_previous_page(request), status_code=302)
        sessions.sign_in(request, response, name.strip())
        return response

    @router.get("/logout", status_code=302, response_class=RedirectResponse, tags=["session"])
    async def logout(request: Request) -> Response:
        """Sign out."""
        response = RedirectResponse(_previous_page(request), status_code=302)
        if sessions.user(request) is not None:
            sessions.sign_out(response)
        return response

    return router


async def _form(request: Request) -> FormData:
    try:
        return await Request(request.scope, limit_body(request.receive, MAX_FORM)).form(max_files=0)
    except UnicodeError:  # a multipart form can name any character set that Python supports
        return FormData()


def _previous_page(request: Request) -> str:
    """Return the page of the Referer if it belongs to this site, otherwise the product page."""
    default = "/productpage"
    try:
        referer = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return default
    if referer.netloc != request.headers.get("host") or not referer.path.startswith("/"):
        return default
    if referer.path.startswith("//") or "\\" in referer.path or referer.path in ("/login", "/logout"):
        return default
    return referer.path + (f"?{referer.query}" if referer.query else "")
