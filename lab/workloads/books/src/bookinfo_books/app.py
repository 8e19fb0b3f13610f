"""The HTTP API of books: one book of https://developers.google.com/books/docs/v1/reference/volumes/list."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.responses import JSONResponse

from bookinfo_books.settings import Settings
from bookinfo_books.tls_server import serve_with_tls
from bookinfo_chassis.app import Service, create_service
from bookinfo_chassis.health import Status

ISBN_10 = "0486424618"
INVALID_QUERY = "please provide the query q=isbn:..."

VOLUME = {
    "kind": "books#volume",
    "volumeInfo": {
        "title": "The Comedy of Errors",
        "authors": ["William Shakespeare"],
        "publisher": "Outside Press",
        "publishedDate": "2002",
        "industryIdentifiers": [
            {"type": "ISBN_10", "identifier": ISBN_10},
            {"type": "ISBN_13", "identifier": "9780486424613"},
        ],
        "pageCount": 64,
        "printType": "BOOK",
        "language": "en",
    },
}

router = APIRouter()


@router.get("/health", response_model=Status)
async def health() -> Response:
    """Report that books is running."""
    return JSONResponse({"status": "Books is healthy"})


@router.get("/books/v1/volumes", response_model=dict[str, Any])
async def volumes(q: Annotated[str, Query(max_length=200)]) -> Response:
    """Return the volumes that match `q`: the one book for its ISBN, otherwise none."""
    items = [VOLUME] if q == f"isbn:{ISBN_10}" else []
    # The API omits `items` if there are none.
    return JSONResponse({"kind": "books#volumes", "totalItems": len(items)} | ({"items": items} if items else {}))


def create_app(settings: Settings) -> Service:
    """Return the application."""

    @asynccontextmanager
    async def resources(app: FastAPI) -> AsyncIterator[None]:
        if settings.tls_certificate is None or settings.tls_key is None:
            yield
            return
        certificate, key = settings.tls_certificate, settings.tls_key.get_secret_value()
        async with serve_with_tls(app, settings.host, settings.tls_port, certificate, key):
            yield

    return create_service(
        "books",
        settings,
        [router],
        description="An external book service outside the mesh.",
        validation_error=INVALID_QUERY,
        resources=resources,
    )
