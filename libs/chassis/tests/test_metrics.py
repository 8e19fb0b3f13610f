"""Prometheus metrics."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.testclient import TestClient

from bookinfo_chassis.client import Upstream
from bookinfo_chassis.metrics import CallMetrics

Start = Callable[..., TestClient]


def requests(client: TestClient) -> dict[tuple[str, str, str], float]:
    """`http_requests_total` by method, route and status."""
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in parse(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "http_requests_total"
    }


def test_a_scrape_has_prometheus_content_type(start: Start) -> None:
    assert start().get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_scrape_can_request_openmetrics(start: Start) -> None:
    response = start().get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "http_requests" in {family.name for family in parse_openmetrics(response.text)}  # type: ignore[no-untyped-call]


def test_a_request_is_counted_by_method_route_and_status(start: Start) -> None:
    client = start()
    for path in ("/things/1", "/things/2", "/things/x", "/unhandled-error"):
        client.get(path)
    client.post("/things/1")
    client.put("/things/1")
    assert requests(client) == {
        ("GET", "/things/{thing_id}", "200"): 2,
        ("GET", "/things/{thing_id}", "400"): 1,
        ("POST", "/things/{thing_id}", "200"): 1,
        ("PUT", "/things/{thing_id}", "405"): 1,
        ("GET", "/unhandled-error", "500"): 1,
    }


def test_different_urls_add_no_series(start: Start) -> None:
    client = start()
    client.get("/things/0")
    client.get("/nowhere")
    before = len(client.get("/metrics").text.splitlines())
    for number in range(500):
        client.get(f"/things/{number}")
        client.get(f"/nowhere/{number}")
    assert len(client.get("/metrics").text.splitlines()) == before
    assert requests(client)["GET", "unmatched", "404"] == 501


def test_unknown_methods_are_one_series(start: Start) -> None:
    client = start()
    for method in ("BREW", "FETCH", "STIR"):
        client.request(method, "/things/1")
    assert requests(client) == {("other", "/things/{thing_id}", "405"): 3}


def test_durations_are_counted_by_method_and_route(start: Start) -> None:
    client = start()
    client.get("/things/1")
    text = client.get("/metrics").text
    assert 'http_request_duration_seconds_count{method="GET",route="/things/{thing_id}"} 1.0' in text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_scrapes_are_not_counted(start: Start, path: str) -> None:
    client = start()
    client.get(path)
    assert requests(client) == {}


def test_operational_routes_are_counted(start: Start) -> None:
    client = start()
    client.get("/openapi.json")
    client.get("/docs")
    assert requests(client) == {("GET", "/openapi.json", "200"): 1, ("GET", "/docs", "200"): 1}


def test_metrics_contain_the_build_and_the_process(start: Start) -> None:
    text = start(version="v7").get("/metrics").text
    assert 'bookinfo_build_info{package="' in text
    assert 'service="chassis",version="v7"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text
    assert "http_requests_in_flight 0.0" in text


def test_calls_timeouts_and_retries_are_counted_by_destination() -> None:
    registry = CollectorRegistry()

    def response(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/slow":
            raise httpx.ReadTimeout("too slow", request=request)
        return httpx.Response(503)

    async def call() -> None:
        upstream = Upstream("http://ratings:9080", httpx.MockTransport(response), 1, CallMetrics(registry))
        await upstream.get("/ratings/0")
        await upstream.get("/ratings/0", is_retry=True)
        with pytest.raises(httpx.ReadTimeout):
            await upstream.get("/slow")

    asyncio.run(call())
    destination = {"destination": "ratings"}
    assert registry.get_sample_value("http_client_requests_total", destination | {"status": "503"}) == 2
    assert registry.get_sample_value("http_client_requests_total", destination | {"status": "none"}) == 1
    assert registry.get_sample_value("http_client_timeouts_total", destination) == 1
    assert registry.get_sample_value("http_client_retries_total", destination) == 1
    assert registry.get_sample_value("http_client_request_duration_seconds_count", destination) == 3
