"""The client of the external book service: the Google Books API, or a service with the same API."""

import httpx
from pydantic import BaseModel, Field, ValidationError

from bookinfo_chassis.client import Upstream
from bookinfo_details.model import Details

ISBN = "0486424618"
"""The edition that v2 requests, as the original does."""

TIME_LIMIT = 5.0
"""Seconds for a call as a whole."""


class ExternalServiceError(Exception):
    """The external book service failed. `status` is the status of the response of details."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Identifier(BaseModel):
    type: str
    identifier: str


class _VolumeInfo(BaseModel):
    authors: list[str] = Field(min_length=1)
    publishedDate: str  # noqa: N815 - the name in the API
    printType: str  # noqa: N815
    pageCount: int  # noqa: N815
    publisher: str
    language: str
    industryIdentifiers: list[_Identifier]  # noqa: N815

    def isbn(self, kind: str) -> str:
        return next((item.identifier for item in self.industryIdentifiers if item.type == kind), "unknown")


class _Volume(BaseModel):
    volumeInfo: _VolumeInfo  # noqa: N815


class _Volumes(BaseModel):
    items: list[_Volume] = Field(min_length=1)


class ExternalBooks:
    """Requests a book. `upstream` must not propagate headers because it is outside the mesh."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def details(self, product_id: int) -> Details:
        """Return the details of `ISBN` with `product_id` as their id. Raises `ExternalServiceError`."""
        try:
            response = await self._upstream.get(f"/books/v1/volumes?q=isbn:{ISBN}", [(b"accept", b"application/json")])
        except httpx.TimeoutException:
            raise ExternalServiceError(504, "the external book service did not respond in time") from None
        except httpx.TransportError:
            raise ExternalServiceError(502, "the external book service cannot be reached") from None
        if response.status_code != 200:
            raise ExternalServiceError(502, f"the external book service returned {response.status_code}")
        try:
            volume = _Volumes.model_validate_json(response.content).items[0].volumeInfo
        except ValidationError:
            raise ExternalServiceError(502, "the external book service sent an invalid response") from None
        return Details(
            id=product_id,
            author=volume.authors[0],
            year=volume.publishedDate,
            type="paperback" if volume.printType == "BOOK" else "unknown",
            pages=volume.pageCount,
            publisher=volume.publisher,
            language="English" if volume.language == "en" else "unknown",
            isbn_10=volume.isbn("ISBN_10"),
            isbn_13=volume.isbn("ISBN_13"),
        )
