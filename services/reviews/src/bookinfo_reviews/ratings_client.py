"""Asks ratings for a book's stars."""

import logging
from collections.abc import Mapping
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, ValidationError

from bookinfo_chassis.client import Upstream

logger = logging.getLogger(__name__)

ACCEPT = [(b"accept", b"application/json")]


class _Answer(BaseModel):
    ratings: dict[str, Annotated[int, Field(strict=True, ge=0, le=5)]]


class RatingsClient:
    """One call, no retry: a mesh can be told to retry, and the tasks show what happens without."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ratings(self, product_id: int) -> Mapping[str, int] | None:
        """Stars by reviewer; None when ratings is down, slow, or answers what cannot be understood."""
        try:
            response = await self._upstream.get(f"/ratings/{product_id}", ACCEPT)
        except httpx.TransportError as error:
            logger.warning("no ratings of book %d: %s %s", product_id, type(error).__name__, error)
            return None
        if response.status_code != 200:
            logger.warning("no ratings of book %d: ratings answered %d", product_id, response.status_code)
            return None
        try:
            return _Answer.model_validate_json(response.content).ratings
        except ValidationError:
            logger.warning("no ratings of book %d: ratings' answer cannot be understood", product_id)
            return None
