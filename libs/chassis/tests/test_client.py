"""Calls to other services without a network. tests/contract tests the transport."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from bookinfo_chassis.client import Upstream, UpstreamResponse
from bookinfo_chassis.metrics import CallMetrics
from bookinfo_chassis.propagation import PropagationMiddleware
from bookinfo_chassis.proxies import Proxies

CALLS = CallMetrics(CollectorRegistry())

CONTEXT = [(b"x-request-id", b"r-1"), (b"cookie", b"session=abc"), (b"accept-language", b"de")]


def call(upstream: Upstream) -> UpstreamResponse:
    """Call /x with `accept: text/plain` during a request with the headers CONTEXT."""
    responses: list[UpstreamResponse] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        responses.append(await upstream.get("/x", [(b"accept", b"text/plain")]))

    asyncio.run(PropagationMiddleware(app)({"type": "http", "headers": CONTEXT}, None, None))  # type: ignore[arg-type]
    return responses[0]


def echo(request: httpx.Request) -> httpx.Response:
    headers = [[name.decode(), value.decode()] for name, value in request.headers.raw]
    return httpx.Response(200, json=headers, headers={"url": str(request.url)})


def test_a_call_sends_the_propagated_headers_and_its_own() -> None:
    response = call(Upstream("http://peer:9080", httpx.MockTransport(echo), 1, CALLS))
    assert response.headers["url"] == "http://peer:9080/x"
    assert [tuple(pair) for pair in json.loads(response.content) if pair[0].lower() != "host"] == [
        ("x-request-id", "r-1"),
        ("cookie", "session=abc"),
        ("accept", "text/plain"),
    ]


def test_a_call_outside_the_mesh_propagates_no_headers() -> None:
    response = call(Upstream("http://outside", httpx.MockTransport(echo), 1, CALLS, propagate=False))
    assert [name.lower() for name, _ in json.loads(response.content)] == ["host", "accept"]


class Slow(httpx.AsyncBaseTransport):
    """Responds after `seconds`."""

    def __init__(self, seconds: float, body: Callable[[], Awaitable[None]] | None = None) -> None:
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._seconds)
        return httpx.Response(200)


def test_the_time_limit_applies_to_the_whole_call() -> None:
    with pytest.raises(httpx.ReadTimeout, match=r"no response within 0\.02 s"):
        call(Upstream("http://peer:9080", Slow(30), 0.02, CALLS))


class SlowBody(httpx.AsyncByteStream):
    async def __aiter__(self):  # type: ignore[no-untyped-def]
        while True:
            await asyncio.sleep(0.005)
            yield b"."


def test_a_slow_body_exceeds_the_time_limit() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=SlowBody()))
    with pytest.raises(httpx.ReadTimeout):
        call(Upstream("http://peer:9080", transport, 0.1, CALLS))


def test_redirects_are_not_followed() -> None:
    seen: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(302, headers={"location": "http://evil/"})

    assert call(Upstream("http://peer:9080", httpx.MockTransport(redirect), 1, CALLS)).status_code == 302
    assert seen == ["http://peer:9080/x"]


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "http://reviews:9080", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://reviews:9080", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "http://reviews:9080", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "http://reviews:9080", "http://q:2"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": ""}, "http://reviews:9080", None),
        ({"HTTP_PROXY": ""}, "http://reviews:9080", None),
        ({"HTTP_PROXY": "p:1"}, "http://reviews:9080", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://books.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://books.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://reviews:9080", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "ratings, reviews"}, "http://reviews:9080", None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "reviews:9080"}, "http://reviews:9080", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "reviews:9081"}, "http://reviews:9080", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".svc"}, "http://reviews.bookinfo.svc:9080", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "views"}, "http://reviews:9080", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1"}, "http://127.0.0.1:9080", None),
    ],
)
def test_the_environment_selects_the_proxy(environ: dict[str, str], url: str, proxy: str | None) -> None:
    proxies = Proxies(environ)
    assert proxies.find(httpx.URL(url)) == proxy
    assert proxies.find(httpx.URL(url)) == proxy
