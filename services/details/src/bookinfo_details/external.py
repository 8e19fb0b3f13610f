"""The external book service: the Google Books API, or whatever answers like it."""

import httpx
from pydantic import BaseModel, Field, ValidationError

from bookinfo_chassis.client import Upstream
from bookinfo_details.model import Details

ISBN = "0486424618"
"""The one edition that v2 looks up, as the original does."""

TIME_LIMIT = 5.0
"""Seconds for the whole call."""


class ExternalServiceError(Exception):
    """No details can be had from outside. `status` is what details answers then."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Identifier(BaseModel):
    type: str
    identifier: str


class _VolumeInfo(BaseModel):
    authors: list[str] = Field(min_length=1)
    publishedDate: str  # noqa: N815 - the API's name
    printType: str  # noqa: N815
    pageCount: int  # noqa: N815
    publisher: str
    language: str
    industryIdentifiers: list[_Identifier]  # noqa: N815

    def isbn(self, kind: str) -> str:
        return next((found.identifier for found in self.industryIdentifiers if found.type == kind), "unknown")


class _Volume(BaseModel):
    volumeInfo: _VolumeInfo  # noqa: N815


class _Volumes(BaseModel):
    items: list[_Volume] = Field(min_length=1)


class ExternalBooks:
    """Looks a book up. `upstream` must not propagate headers: it is outside the mesh."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def details(self, product_id: int) -> Details:
        """The details of the one edition, under `product_id`. Raises `ExternalServiceError`."""
        try:
            response = await self._upstream.get(f"/books/v1/volumes?q=isbn:{ISBN}", [(b"accept", b"application/json")])
        except httpx.TimeoutException:
            raise ExternalServiceError(504, "the external book service did not answer in time") from None
        except httpx.TransportError:
            raise ExternalServiceError(502, "the external book service cannot be reached") from None
        if response.status_code != 200:
            raise ExternalServiceError(502, f"the external book service answered {response.status_code}")
        try:
            found = _Volumes.model_validate_json(response.content).items[0].volumeInfo
        except ValidationError:
            raise ExternalServiceError(502, "the external book service's answer cannot be understood") from None
        return Details(
            id=product_id,
            author=found.authors[0],
            year=found.publishedDate,
            type="paperback" if found.printType == "BOOK" else "unknown",
            pages=found.pageCount,
            publisher=found.publisher,
            language="English" if found.language == "en" else "unknown",
            isbn_10=found.isbn("ISBN_10"),
            isbn_13=found.isbn("ISBN_13"),
        )
