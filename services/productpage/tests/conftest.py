"""productpage with fake backends."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_productpage.app import create_app
from bookinfo_productpage.settings import Settings

Handler = Callable[[httpx.Request], httpx.Response]

DETAILS = (
    b'{"id":0,"author":"William Shakespeare","year":1595,"type":"paperback","pages":200,"publisher":"PublisherA",'
    b'"language":"English","ISBN-10":"1234567890","ISBN-13":"123-1234567890"}'
)
RATINGS = b'{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}'


class FakeBackends:
    """The three backends: the response of each, and the requests that they received."""

    details = DETAILS
    ratings = RATINGS

    def __init__(self) -> None:
        self.responses: dict[str, bytes | Handler] = {
            "details": DETAILS,
            "reviews": self.reviews(None, None),
            "ratings": RATINGS,
        }
        self.requests: list[httpx.Request] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self.responses[request.url.path.split("/")[1]]
        return httpx.Response(200, content=response) if isinstance(response, bytes) else response(request)

    @staticmethod
    def reviews(*ratings: dict[str, Any] | None, podname: str = "reviews-v2-abc", cluster: str = "null") -> bytes:
        """Return a response of reviews with one review for each rating."""
        reviews = [
            {"reviewer": f"Reviewer{number}", "text": f"Text {number}."} | ({"rating": rating} if rating else {})
            for number, rating in enumerate(ratings, 1)
        ]
        return json.dumps({"id": "0", "podname": podname, "clustername": cluster, "reviews": reviews}).encode()

    @staticmethod
    def status(code: int) -> Handler:
        """Return a backend that responds with this status."""
        return status(code)

    def count(self, name: str) -> int:
        return sum(request.url.path.startswith(f"/{name}/") for request in self.requests)


def failing(error: type[httpx.TransportError]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)

    return handler


def status(code: int, content: bytes = b"{}") -> Handler:
    return lambda _: httpx.Response(code, content=content)


FAILURES: dict[str, tuple[bytes | Handler, int]] = {
    "refuses connections": (failing(httpx.ConnectError), 500),
    "too slow": (failing(httpx.ReadTimeout), 500),
    "incomplete response": (failing(httpx.ReadError), 500),
    "closes the connection": (failing(httpx.RemoteProtocolError), 500),
    "404": (status(404), 404),
    "429": (status(429), 429),
    "500": (status(500), 500),
    "503": (status(503), 503),
    "599": (status(599), 599),
    "invalid status": (status(999), 500),
    "201": (status(201), 500),
    "204": (status(204, b""), 500),
    "302": (status(302), 500),
    "304": (status(304, b""), 500),
    "not JSON": (b"<html>", 500),
    "empty": (b"", 500),
    "other JSON": (b"[1]", 500),
    "null": (b"null", 500),
    "a lone surrogate": (b'{"id":"\\ud800"}', 500),
    "deeply nested": (b"[" * 100_000, 500),
}
"""Failures of a backend, and the status of productpage's API for each."""


@pytest.fixture(params=FAILURES)
def failing_backend(request: pytest.FixtureRequest) -> tuple[bytes | Handler, int]:
    """Each of `FAILURES`."""
    return FAILURES[request.param]


@pytest.fixture
def backends() -> FakeBackends:
    return FakeBackends()


@pytest.fixture
def start(backends: FakeBackends) -> Iterator[Callable[..., TestClient]]:
    """Start productpage with the given settings. It follows no redirects and is stopped after the test."""
    with ExitStack() as running:

        def _start(peer: str = "127.0.0.1", **settings: Any) -> TestClient:
            settings = {"session_secret": "a key of enough length"} | settings
            app = create_app(Settings.load(**settings), httpx.MockTransport(backends.handle))
            client = TestClient(app, "http://bookinfo.example", follow_redirects=False, client=(peer, 1234))
            return running.enter_context(client)

        yield _start


@pytest.fixture
def page(start: Callable[..., TestClient]) -> TestClient:
    return start()
