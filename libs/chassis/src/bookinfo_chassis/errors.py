"""Errors as JSON: `{"error": text}`, as in the original services."""

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
"""The original's API description defines ids as 32-bit integers."""


class Error(BaseModel):
    """The description of an error."""

    error: str


def _decimal(value: object) -> object:
    """Reject all but decimal digits. Python's int() also accepts underscores, spaces and signs."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID))):
        raise ValueError("not a number")
    return value


NumericId = Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_decimal)]
"""An id in a path: decimal digits, 0 to 2147483647."""

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {"default": {"model": Error, "description": "Any other error"}}


def invalid_id_response(text: str) -> dict[int | str, dict[str, Any]]:
    """Return the API description of the response to an invalid id."""
    return {400: {"model": Error, "description": text}}


def bad_request(text: str) -> JSONResponse:
    """Return a 400 response with the error `text`."""
    return JSONResponse({"error": text}, status_code=400)


def limit_body(receive: Receive, limit: int) -> Receive:
    """Wrap `receive` so that it raises HTTPException 413 after more than `limit` bytes."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
        return message

    return limited


class UnhandledErrorMiddleware:
    """Returns 500 for an unhandled error and logs its traceback once, with the ids of the request.

    Starlette's own handler runs outside every middleware and raises the error again, so that the server logs it a
    second time. This middleware raises an error only after the response has started: the server then closes the
    connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_start)
        except ClientDisconnect:
            logger.info("client disconnected during %s %s", scope["method"], scope["path"])
        except Exception:
            if started:
                raise
            logger.exception("unhandled error in %s %s", scope["method"], scope["path"])
            await JSONResponse({"error": "internal server error"}, status_code=500)(scope, receive, send)


def handle_errors(app: FastAPI, validation_error: str) -> None:
    """Make `app` return every error as JSON. `validation_error` is the text for an invalid request."""

    async def on_validation_error(_request: Request, _error: Exception) -> Response:
        return bad_request(validation_error)

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

    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)


def _allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods that the request's path supports. Starlette lists only those of the first matching route."""

    root_path = request.scope.get("app_root_path", "")  # a mount replaces root_path by its own

    def supports(method: str) -> bool:
        scope = {**request.scope, "method": method, "root_path": root_path}
        return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)

    allowed = {method for method in METHODS if supports(method)}
    if "GET" in allowed:
        allowed.add("HEAD")  # HeadMiddleware serves it
    return [*(method for method in METHODS if method in allowed), "OPTIONS"]
