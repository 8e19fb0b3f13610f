"""Without its fast path a service behaves the same: the same responses, from the same servers, on real sockets."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tests.contract.test_wire import OK, Serve, body, respond_with, server, silent

from bookinfo_chassis.client import Upstream, create_transport
from bookinfo_chassis.fastpath.httpx_transport import HttpxTransport
from bookinfo_chassis.fastpath.transport import MAX_BODY, HttpTransport
from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_chassis.settings import ServiceSettings
from bookinfo_productpage.app import create_app
from bookinfo_productpage.settings import Settings

DETAILS = (
    b'{"id":0,"author":"William Shakespeare","year":1595,"type":"paperback","pages":200,"publisher":"PublisherA",'
    b'"language":"English","ISBN-10":"1234567890","ISBN-13":"123-1234567890"}'
)

SERVERS: dict[str, Serve] = {
    "valid response": respond_with(body(DETAILS)),
    "chunked response": respond_with(
        OK + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(DETAILS) + DETAILS + b"\r\n0\r\n\r\n"
    ),
    "response without a length": respond_with(OK + b"\r\n" + DETAILS, close=True),
    "503": respond_with(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"),
    "redirect": respond_with(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
    "closed connection": respond_with(close=True),
    "incomplete response": respond_with(OK + b"content-length: 10\r\n\r\nhalf", close=True),
    "another protocol": respond_with(b"SSH-2.0-OpenSSH_9.2\r\n", close=True),
    "body beyond the limit": respond_with(body(b"x" * (MAX_BODY + 1))),
    "encoding that was not accepted": respond_with(body(b"not gzip", b"content-encoding: gzip")),
}


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def run_with_both(scenario: Callable[[bool], Awaitable[object]]) -> list[object]:
    return [asyncio.run(scenario(fast)) for fast in (True, False)]  # type: ignore[arg-type]


def test_the_setting_selects_the_transport() -> None:
    assert isinstance(create_transport(ServiceSettings.load()), HttpTransport)
    assert isinstance(create_transport(ServiceSettings.load(fast_path_transport=False)), HttpxTransport)


@pytest.mark.parametrize("path", ["/productpage", "/api/v1/products/0", "/api/v1/products/x"])
@pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)
def test_responses_are_the_same_without_the_fast_transport_and_routes(serve: Serve, path: str) -> None:
    async def scenario(fast: bool) -> object:
        async with server(serve) as backend:
            port = backend.url.rpartition(":")[2]
            settings = Settings.load(
                session_secret="a key of enough length",
                details_hostname="127.0.0.1",
                details_service_port=port,
                reviews_hostname="127.0.0.1",
                reviews_service_port=port,
                fast_path_transport=fast,
                fast_path_routes=fast,
            )
            app = create_app(settings)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://productpage") as browser,
            ):
                response = await browser.get(path)
            text = re.sub(r'<span class="took">.*?</span>', "", response.text)  # durations
            return response.status_code, text, response.headers["content-type"], len(backend.requests)

    fast, standard = run_with_both(scenario)
    assert fast == standard


def call(settings: ServiceSettings, url: str, time_limit: float = 5) -> Awaitable[object]:
    async def outcome() -> object:
        async with create_transport(settings) as transport:
            upstream = Upstream(url, transport, time_limit, ServiceMetrics.create().calls)
            try:
                response = await upstream.get("/x", [(b"x-request-id", b"1")])
            except httpx.TransportError as error:
                return [kind for kind in (httpx.TimeoutException, httpx.ConnectError) if isinstance(error, kind)]
            return response.status_code, response.content

    return outcome()


def test_a_proxy_receives_the_same_request_without_the_fast_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(fast: bool) -> object:
        async with server(respond_with(body(b"by proxy"))) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            outcome = await call(ServiceSettings.load(fast_path_transport=fast), "http://reviews.invalid:9080")
            line, *headers = proxy.requests[0].lower().rstrip().split(b"\r\n")
            return outcome, line, sorted(headers)

    fast, standard = run_with_both(scenario)
    assert fast == standard


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://[bad", "socks5://127.0.0.1:1"])
def test_a_faulty_proxy_is_a_transport_error_without_the_fast_transport(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    async def scenario(fast: bool) -> object:
        settings = ServiceSettings(fast_path_transport=fast)
        return await call(settings, "http://reviews.invalid:9080")

    monkeypatch.setenv("HTTP_PROXY", proxy)
    fast, standard = run_with_both(scenario)
    assert fast == standard


def test_a_call_is_limited_in_time_without_the_fast_transport() -> None:
    async def scenario(fast: bool) -> object:
        async with server(silent) as backend:
            return await call(ServiceSettings.load(fast_path_transport=fast), backend.url, time_limit=0.2)

    assert run_with_both(scenario) == [[httpx.TimeoutException]] * 2


@pytest.mark.parametrize("idle_seconds", [0, 4])
def test_connections_are_reused_in_the_same_way_without_the_fast_transport(idle_seconds: float) -> None:
    async def scenario(fast: bool) -> object:
        async with server(respond_with(body(b"x"))) as backend:
            settings = ServiceSettings.load(fast_path_transport=fast, upstream_idle_seconds=idle_seconds)
            async with create_transport(settings) as transport:
                upstream = Upstream(backend.url, transport, 5, ServiceMetrics.create().calls)
                for _ in range(3):
                    await upstream.get("/x")
            return backend.connections

    assert run_with_both(scenario) == [1 if idle_seconds else 3] * 2
