"""The clients of the three services that productpage calls: their time limits, retries and responses."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Generic, TypeVar

import httpx
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bookinfo_chassis.client import Upstream
from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_chassis.pod_info import PodInfo
from bookinfo_chassis.propagation import RawHeaders
from bookinfo_chassis.spans import record_degraded

logger = logging.getLogger(__name__)

TIME_LIMIT = 3.0
"""Seconds for each attempt."""

REVIEWS_ATTEMPTS = 2
"""As in the original: Istio's fault injection task shows this retry together with another service's time limit."""


class Details(BaseModel):
    """The details of a book that the page shows."""

    model_config = ConfigDict(populate_by_name=True)

    author: str
    year: int | str
    type: str
    pages: int
    publisher: str
    language: str
    isbn_10: str = Field(alias="ISBN-10")
    isbn_13: str = Field(alias="ISBN-13")


class Rating(BaseModel):
    """The stars and their color, or the error if there are none."""

    stars: int | None = Field(default=None, ge=0, le=5)
    color: str = "black"
    error: str | None = None


class Review(BaseModel):
    """The review of one reviewer."""

    reviewer: str
    text: str
    rating: Rating | None = None


class Reviews(BaseModel):
    """The reviews of a book, and the pod that responded."""

    podname: str
    clustername: str
    reviews: list[Review]


class Ratings(BaseModel):
    """Stars by reviewer."""

    ratings: dict[str, int]


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class BackendResponse(Generic[Model]):
    """The response of a backend.

    After a failure `model` is None, and `content` is the error object for the client of productpage.
    """

    status: int
    content: bytes
    model: Model | None = None
    error: str | None = None
    """Why there is no model, for the page."""
    pod: PodInfo | None = None
    """The pod that responded; None if there was no response, or if a proxy responded."""
    attempts: int = 1
    seconds: float = 0.0
    """Duration of all attempts together."""


class Backend(Generic[Model]):
    """A service, called with a time limit and a number of attempts. Counts results in `request_result_total`."""

    def __init__(
        self,
        name: str,
        path: str,
        upstream: Upstream,
        model: type[Model],
        results: Counter,
        attempts: int = 1,
    ) -> None:
        self._name = name
        self._path = path
        self._upstream = upstream
        self._model = model
        self._results = results
        self._attempts = attempts

    async def get(self, product_id: int, headers: RawHeaders) -> BackendResponse[Model]:
        """Request the data of a book. Never raises an error if the backend fails: the response has the status."""
        start = perf_counter()
        response = await self._attempt(product_id, headers)
        attempts = 1
        while response.model is None and attempts < self._attempts:
            response = await self._attempt(product_id, headers, is_retry=True)
            attempts += 1
        if response.model is None:
            record_degraded(self._name, response.status)
        self._results.labels(destination_app=self._name, response_code=str(response.status)).inc()
        return replace(response, attempts=attempts, seconds=perf_counter() - start)

    async def _attempt(self, product_id: int, headers: RawHeaders, *, is_retry: bool = False) -> BackendResponse[Model]:
        try:
            response = await self._upstream.get(f"/{self._path}/{product_id}", headers, is_retry=is_retry)
        except httpx.TimeoutException:
            return self._failed(500, f"no response within {TIME_LIMIT:g} s")
        except httpx.ConnectError as error:
            return self._failed(500, "cannot be reached", f"{error}")
        except httpx.TransportError as error:
            return self._failed(500, "sent an incomplete response", f"{type(error).__name__} {error}")
        pod = PodInfo.from_headers(response.headers)
        if response.status_code != 200:
            # Forward only the status of an error. A 204 or 304 cannot have a body, and 201 would claim a success.
            status = response.status_code if 400 <= response.status_code < 600 else 500
            error_text = f"returned {response.status_code}"
            if pod is None:
                error_text = f"a proxy {error_text}: the response names no pod"
            return self._failed(status, error_text, pod=pod)
        try:
            model = self._model.model_validate_json(response.content)
        except ValidationError:
            return self._failed(500, "sent an invalid response", pod=pod)
        return BackendResponse(200, response.content, model, pod=pod)

    def _failed(self, status: int, error: str, cause: str = "", pod: PodInfo | None = None) -> BackendResponse[Model]:
        logger.warning("%s: %s%s", self._name, error, f" ({cause})" if cause else "")
        text = f"Sorry, product {self._name} are currently unavailable for this book."
        return BackendResponse(status, b'{"error": "%s"}' % text.encode(), error=error, pod=pod)


class Backends:
    """The three backends."""

    def __init__(self, urls: Mapping[str, str], transport: httpx.AsyncBaseTransport, metrics: ServiceMetrics) -> None:
        results = Counter(
            "request_result", "Results of requests", ["destination_app", "response_code"], registry=metrics.registry
        )

        def upstream(name: str) -> Upstream:
            return Upstream(urls[name], transport, TIME_LIMIT, metrics.calls)

        self.details = Backend("details", "details", upstream("details"), Details, results)
        self.reviews = Backend("reviews", "reviews", upstream("reviews"), Reviews, results, REVIEWS_ATTEMPTS)
        self.ratings = Backend("ratings", "ratings", upstream("ratings"), Ratings, results)

    async def load_page(
        self, product_id: int, headers: RawHeaders, flood_factor: int
    ) -> tuple[BackendResponse[Details], BackendResponse[Reviews]]:
        """Request the data of the page concurrently, after `flood_factor` calls to reviews that are ignored."""
        if flood_factor:
            await asyncio.gather(*(self.reviews.get(product_id, headers) for _ in range(flood_factor)))
        return await asyncio.gather(self.details.get(product_id, headers), self.reviews.get(product_id, headers))
