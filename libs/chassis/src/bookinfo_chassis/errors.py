"""Errors as JSON, `{"error": text}` in every case: the shape that the original's services use."""

import logging
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Message, Receive

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_ID = 2**31 - 1
"""Ids are 32 bit integers in the original's API description."""


class Error(BaseModel):
    """What went wrong, in words."""

    error: str


def _decimal(value: object) -> object:
    """Plain decimal digits only: Python's int() takes underscores, blanks and signs too."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID))):
        raise ValueError("not a number")
    return value


NumericId = Annotated[int, BeforeValidator(_decimal), Field(ge=0, le=MAX_ID)]
"""An id in a path: decimal digits, 0 to 2147483647."""

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {"default": {"model": Error, "description": "Any other error"}}


def bad_id_response(text: str) -> dict[int | str, dict[str, Any]]:
    """How the API description shows what a malformed id is answered with."""
    return {400: {"model": Error, "description": text}}


def bad_request(text: str) -> JSONResponse:
    """400 with `text`."""
    return JSONResponse({"error": text}, status_code=400)


def limit_body(receive: Receive, limit: int) -> Receive:
    """`receive`, but raising HTTPException 413 once more than `limit` bytes have come."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
        return message

    return limited


def handle_errors(app: FastAPI, invalid: str) -> None:
    """Answer every error of `app` in JSON. `invalid` is the text for a request that does not validate."""

    async def on_invalid(_request: Request, _error: Exception) -> Response:
        return bad_request(invalid)

    async def on_http_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise TypeError(f"not an HTTP error: {error!r}")
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == 405:
            headers["allow"] = ", ".join(_allowed_methods(app, request))
            if request.method == "OPTIONS":
                return Response(headers=headers)
        text = {404: "not found", 405: "method not allowed"}.get(error.status_code, error.detail)
        return JSONResponse({"error": text}, status_code=error.status_code, headers=headers)

    async def on_crash(request: Request, error: Exception) -> Response:
        logger.error("unhandled error in %s %s", request.method, request.url.path, exc_info=error)
        return JSONResponse({"error": "internal server error"}, status_code=500)

    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_crash)


def _allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """The methods that the request's path takes; Starlette itself names only those of the first route that fits."""

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(
            route.matches(scope)[0] is Match.FULL
            for route in app.router.routes
            if method == "GET" or not isinstance(route, Mount)  # what is mounted here are static files
        )

    allowed = {method for method in METHODS if takes(method)}
    if "GET" in allowed:
        allowed.add("HEAD")  # HeadMiddleware answers it
    return [*(method for method in METHODS if method in allowed), "OPTIONS"]
