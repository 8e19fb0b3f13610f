"""The three services behind the page: what is asked of each, how long, how often, and what comes back."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Generic, TypeVar

import httpx
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bookinfo_chassis.client import Upstream
from bookinfo_chassis.instance import Instance
from bookinfo_chassis.metrics import CallMetrics
from bookinfo_chassis.propagation import RawHeaders
from bookinfo_chassis.tracing import note_degraded

logger = logging.getLogger(__name__)

TIME_LIMIT = 3.0
"""Seconds for each attempt."""

REVIEWS_ATTEMPTS = 2
"""Deliberate, as in the original: Istio's fault injection task is about this retry meeting another service's limit."""


class Details(BaseModel):
    """What the page shows of a book's details."""

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
    """Stars and their colour, or why there are none."""

    stars: int | None = Field(default=None, ge=0, le=5)
    color: str = "black"
    error: str | None = None


class Review(BaseModel):
    """What one reader says."""

    reviewer: str
    text: str
    rating: Rating | None = None


class Reviews(BaseModel):
    """The reviews, and the instance that answered."""

    podname: str
    clustername: str
    reviews: list[Review]


class Ratings(BaseModel):
    """Stars by reviewer."""

    ratings: dict[str, int]


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Answer(Generic[Model]):
    """What a backend said. On failure `model` is None and `content` the error object for our own caller."""

    status: int
    content: bytes
    model: Model | None = None
    problem: str | None = None
    """Why there is no model, for a person to read."""
    instance: Instance | None = None
    """Who answered; None where nobody did, or a proxy in a service's place."""
    attempts: int = 1
    seconds: float = 0.0
    """What all attempts took together."""


class Backend(Generic[Model]):
    """One service: called with a time limit and a number of attempts, counted in `request_result_total`."""

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

    async def get(self, product_id: int, headers: RawHeaders) -> Answer[Model]:
        """Ask for a book. Never raises for a failing backend: the answer's status tells."""
        start = perf_counter()
        answer = await self._attempt(product_id, headers)
        attempts = 1
        while answer.model is None and attempts < self._attempts:
            answer = await self._attempt(product_id, headers, repeated=True)
            attempts += 1
        if answer.model is None:
            note_degraded(self._name, answer.status)
        self._results.labels(destination_app=self._name, response_code=str(answer.status)).inc()
        return replace(answer, attempts=attempts, seconds=perf_counter() - start)

    async def _attempt(self, product_id: int, headers: RawHeaders, *, repeated: bool = False) -> Answer[Model]:
        try:
            response = await self._upstream.get(f"/{self._path}/{product_id}", headers, repeated=repeated)
        except httpx.TimeoutException:
            return self._failed(500, f"no answer within {TIME_LIMIT:g} s")
        except httpx.ConnectError as error:
            return self._failed(500, "cannot be reached", f"{error}")
        except httpx.TransportError as error:
            return self._failed(500, "broke off its answer", f"{type(error).__name__} {error}")
        instance = Instance.from_headers(response.headers)
        if response.status_code != 200:
            # Only an error is passed on as it is: a 204 or a 304 cannot carry the error object, a 201 would belie it.
            status = response.status_code if 400 <= response.status_code < 600 else 500
            problem = f"answered {response.status_code}"
            if instance is None:
                problem = f"a proxy {problem}: no pod signed it"
            return self._failed(status, problem, instance=instance)
        try:
            model = self._model.model_validate_json(response.content)
        except ValidationError:
            return self._failed(500, "answered what cannot be understood", instance=instance)
        return Answer(200, response.content, model, instance=instance)

    def _failed(self, status: int, problem: str, cause: str = "", instance: Instance | None = None) -> Answer[Model]:
        logger.warning("%s: %s%s", self._name, problem, f" ({cause})" if cause else "")
        text = f"Sorry, product {self._name} are currently unavailable for this book."
        return Answer(status, b'{"error": "%s"}' % text.encode(), problem=problem, instance=instance)


class Backends:
    """All three."""

    def __init__(
        self,
        urls: Mapping[str, str],
        transport: httpx.AsyncBaseTransport,
        registry: CollectorRegistry,
        calls: CallMetrics,
    ) -> None:
        results = Counter(
            "request_result", "Results of requests", ["destination_app", "response_code"], registry=registry
        )

        def upstream(name: str) -> Upstream:
            return Upstream(urls[name], transport, TIME_LIMIT, calls)

        self.details = Backend("details", "details", upstream("details"), Details, results)
        self.reviews = Backend("reviews", "reviews", upstream("reviews"), Reviews, results, REVIEWS_ATTEMPTS)
        self.ratings = Backend("ratings", "ratings", upstream("ratings"), Ratings, results)

    async def page(
        self, product_id: int, headers: RawHeaders, flood_factor: int
    ) -> tuple[Answer[Details], Answer[Reviews]]:
        """What the page needs, asked for at the same time. `flood_factor` calls of reviews are thrown away first."""
        if flood_factor:
            await asyncio.gather(*(self.reviews.get(product_id, headers) for _ in range(flood_factor)))
        return await asyncio.gather(self.details.get(product_id, headers), self.reviews.get(product_id, headers))
