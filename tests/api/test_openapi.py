"""The responses of each service match its API description for generated requests: no 5xx, no schema violation."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import Phase as HypothesisPhase
from schemathesis.core.result import Ok
from schemathesis.python.asgi import shutdown_lifespans

from bookinfo_details.app import create_app as create_details
from bookinfo_details.settings import Settings as DetailsSettings
from bookinfo_productpage.app import create_app as create_productpage
from bookinfo_productpage.settings import Settings as ProductpageSettings
from bookinfo_ratings.app import create_app as create_ratings
from bookinfo_ratings.settings import Settings as RatingsSettings
from bookinfo_reviews.app import create_app as create_reviews
from bookinfo_reviews.settings import Settings as ReviewsSettings

EXAMPLES = 40
"""Number of valid and of invalid requests for each operation. The tests take about 20 s."""


class Backends(httpx.AsyncBaseTransport):
    """A transport to the real applications that productpage calls."""

    def __init__(self) -> None:
        self._apps = {"details": details(), "reviews": reviews(), "ratings": ratings()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await httpx.ASGITransport(self._apps[request.url.host]).handle_async_request(request)


def details() -> FastAPI:
    return create_details(DetailsSettings.load())


def ratings() -> FastAPI:
    return create_ratings(RatingsSettings.load())


def reviews() -> FastAPI:
    return create_reviews(ReviewsSettings.load())


def productpage() -> FastAPI:
    return create_productpage(ProductpageSettings.load(session_secret="a key of enough length"), Backends())


@pytest.fixture(autouse=True)
def _stopped_after_the_test() -> Iterator[None]:
    yield
    shutdown_lifespans()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("create", [details, ratings, reviews, productpage], ids=lambda create: create.__name__)
def test_responses_match_the_api_description(create: Callable[[], FastAPI], mode: schemathesis.GenerationMode) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", create())
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode.is_negative and not (operation.path_parameters or operation.body):
            continue  # such a request has no invalid variant

        @seed(7)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[HypothesisPhase.explicit, HypothesisPhase.generate, HypothesisPhase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate()

        check()
