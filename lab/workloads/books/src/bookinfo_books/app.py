"""The HTTP interface of books: https://developers.google.com/books/docs/v1/reference/volumes/list, for one book."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.responses import JSONResponse

from bookinfo_books.encrypted import serve_encrypted
from bookinfo_books.settings import Settings
from bookinfo_chassis.app import create_service
from bookinfo_chassis.health import Status

ISBN_10 = "0486424618"
BAD_QUERY = "please ask with q=isbn:..."

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
    """Whether books works."""
    return JSONResponse({"status": "Books is healthy"})


@router.get("/books/v1/volumes", response_model=dict[str, Any])
async def volumes(q: Annotated[str, Query(max_length=200)]) -> Response:
    """The volumes that `q` finds: the one book by its ISBN, and nothing else."""
    items = [VOLUME] if q == f"isbn:{ISBN_10}" else []
    # The API leaves `items` out when there is none.
    return JSONResponse({"kind": "books#volumes", "totalItems": len(items)} | ({"items": items} if items else {}))


def create_app(settings: Settings) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def resources(app: FastAPI) -> AsyncIterator[None]:
        if settings.tls_certificate is None or settings.tls_key is None:
            yield
            return
        certificate, key = settings.tls_certificate, settings.tls_key.get_secret_value()
        async with serve_encrypted(app, settings.host, settings.tls_port, certificate, key):
            yield

    return create_service(
        "books",
        settings,
        [router],
        description="An external book service, to be outside the mesh.",
        invalid=BAD_QUERY,
        resources=resources,
    )
