"""productpage in front of backends that a test makes up."""

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


class World:
    """The three backends: what each answers, and what it was asked."""

    details = DETAILS
    ratings = RATINGS

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Handler] = {
            "details": DETAILS,
            "reviews": self.reviews(None, None),
            "ratings": RATINGS,
        }
        self.asked: list[httpx.Request] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers[request.url.path.split("/")[1]]
        return httpx.Response(200, content=answer) if isinstance(answer, bytes) else answer(request)

    @staticmethod
    def reviews(*ratings: dict[str, Any] | None, podname: str = "reviews-v2-abc", cluster: str = "null") -> bytes:
        """An answer of reviews, with one review for each rating."""
        reviews = [
            {"reviewer": f"Reviewer{number}", "text": f"Text {number}."} | ({"rating": rating} if rating else {})
            for number, rating in enumerate(ratings, 1)
        ]
        return json.dumps({"id": "0", "podname": podname, "clustername": cluster, "reviews": reviews}).encode()

    @staticmethod
    def status(code: int) -> Handler:
        """A backend that answers with this status."""
        return status(code)

    def count(self, name: str) -> int:
        return sum(request.url.path.startswith(f"/{name}/") for request in self.asked)


def failing(error: type[httpx.TransportError]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)

    return handler


def status(code: int, content: bytes = b"{}") -> Handler:
    return lambda _: httpx.Response(code, content=content)


BAD_BACKENDS: dict[str, tuple[bytes | Handler, int]] = {
    "refuses": (failing(httpx.ConnectError), 500),
    "too slow": (failing(httpx.ReadTimeout), 500),
    "closes half-way": (failing(httpx.ReadError), 500),
    "hangs up": (failing(httpx.RemoteProtocolError), 500),
    "404": (status(404), 404),
    "429": (status(429), 429),
    "500": (status(500), 500),
    "503": (status(503), 503),
    "599": (status(599), 599),
    "not HTTP's status": (status(999), 500),
    "201": (status(201), 500),
    "204": (status(204, b""), 500),
    "302": (status(302), 500),
    "304": (status(304, b""), 500),
    "not JSON": (b"<html>", 500),
    "nothing": (b"", 500),
    "other JSON": (b"[1]", 500),
    "null": (b"null", 500),
    "a lone surrogate": (b'{"id":"\\ud800"}', 500),
    "deep": (b"[" * 100_000, 500),
}
"""What a backend may do, and which status productpage makes of it."""


@pytest.fixture(params=BAD_BACKENDS)
def bad_backend(request: pytest.FixtureRequest) -> tuple[bytes | Handler, int]:
    """Each of `BAD_BACKENDS` in turn."""
    return BAD_BACKENDS[request.param]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def start(world: World) -> Iterator[Callable[..., TestClient]]:
    """Start productpage with the given settings; redirects are not followed. It is stopped after the test."""
    with ExitStack() as running:

        def _start(peer: str = "127.0.0.1", **settings: Any) -> TestClient:
            settings = {"session_secret": "a key of enough length"} | settings
            app = create_app(Settings.load(**settings), httpx.MockTransport(world.handle))
            client = TestClient(app, "http://bookinfo.example", follow_redirects=False, client=(peer, 1234))
            return running.enter_context(client)

        yield _start


@pytest.fixture
def page(start: Callable[..., TestClient]) -> TestClient:
    return start()
