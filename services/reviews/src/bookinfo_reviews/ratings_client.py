"""The client of ratings."""

import logging
from collections.abc import Mapping
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, ValidationError

from bookinfo_chassis.client import Upstream

logger = logging.getLogger(__name__)

ACCEPT = [(b"accept", b"application/json")]


class _RatingsResponse(BaseModel):
    ratings: dict[str, Annotated[int, Field(strict=True, ge=0, le=5)]]


class RatingsClient:
    """Calls ratings once, without a retry: the scenarios show the effect of retries that the mesh adds."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ratings(self, product_id: int) -> Mapping[str, int] | None:
        """Return the stars by reviewer, or None if ratings fails, is too slow, or sends an invalid response."""
        try:
            response = await self._upstream.get(f"/ratings/{product_id}", ACCEPT)
        except httpx.TransportError as error:
            logger.warning("no ratings for book %d: %s %s", product_id, type(error).__name__, error)
            return None
        if response.status_code != 200:
            logger.warning("no ratings for book %d: ratings returned %d", product_id, response.status_code)
            return None
        try:
            return _RatingsResponse.model_validate_json(response.content).ratings
        except ValidationError:
            logger.warning("no ratings for book %d: ratings sent an invalid response", product_id)
            return None
