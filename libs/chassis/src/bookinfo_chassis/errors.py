"""Errors as JSON, `{"error": text}` in every case: the shape that the original's services use."""

import logging
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


NumericId = Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_decimal)]
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


class CrashMiddleware:
    """Answers an unhandled error with 500 and logs its traceback: once, and with the request's ids.

    Starlette's own handler of exceptions stands outside every middleware and raises them again, so that the server
    logs them a second time. Once the answer has begun there is nothing else to do than that: it breaks off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except ClientDisconnect:
            logger.info("the client of %s %s went away", scope["method"], scope["path"])
        except Exception:
            if started:
                raise
            logger.exception("unhandled error in %s %s", scope["method"], scope["path"])
            await JSONResponse({"error": "internal server error"}, status_code=500)(scope, receive, send)


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

    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http_error)


def _allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """The methods that the request's path takes; Starlette itself names only those of the first route that fits."""

    root_path = request.scope.get("app_root_path", "")  # a mount that was entered has put its own in root_path

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method, "root_path": root_path}
        return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)

    allowed = {method for method in METHODS if takes(method)}
    if "GET" in allowed:
        allowed.add("HEAD")  # HeadMiddleware answers it
    return [*(method for method in METHODS if method in allowed), "OPTIONS"]
