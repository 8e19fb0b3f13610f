"""The public API forwards the responses of the backends."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.testclient import TestClient

from bookinfo_chassis.settings import InvalidSettingsError
from bookinfo_productpage.settings import Settings

FakeBackends = Any
Start = Callable[..., TestClient]

PATHS = {
    "details": "/api/v1/products/0",
    "reviews": "/api/v1/products/0/reviews",
    "ratings": "/api/v1/products/0/ratings",
}


def results(page: TestClient) -> dict[tuple[str, str], float]:
    """`request_result_total` by backend and status."""
    return {
        (sample.labels["destination_app"], sample.labels["response_code"]): sample.value
        for family in parse(page.get("/metrics").text)
        for sample in family.samples
        if sample.name == "request_result_total"
    }


def test_the_products_are_one_book(page: TestClient) -> None:
    (book,) = page.get("/api/v1/products").json()
    assert list(book) == ["id", "title", "descriptionHtml"]
    assert (book["id"], book["title"]) == (0, "The Comedy of Errors")
    assert (
        '<a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia Summary</a>'
        in (book["descriptionHtml"])
    )
    assert "<b>William Shakespeare's</b>" in book["descriptionHtml"]


@pytest.mark.parametrize("backend", PATHS)
def test_a_response_of_a_backend_is_forwarded_unchanged(page: TestClient, backends: FakeBackends, backend: str) -> None:
    response = page.get(PATHS[backend])
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.content == backends.responses[backend]


@pytest.mark.parametrize("backend", PATHS)
def test_a_failure_has_the_status_of_the_backend_or_500(
    page: TestClient, backends: FakeBackends, failing_backend: tuple[Any, int], backend: str
) -> None:
    backends.responses[backend] = failing_backend[0]
    response = page.get(PATHS[backend])
    assert response.status_code == failing_backend[1]
    assert response.text == f'{{"error": "Sorry, product {backend} are currently unavailable for this book."}}'
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("backend", "attempts"), [("details", 1), ("reviews", 2), ("ratings", 1)])
def test_only_reviews_is_retried_and_counted_once(
    page: TestClient, backends: FakeBackends, backend: str, attempts: int
) -> None:
    backends.responses[backend] = backends.status(503)
    page.get(PATHS[backend])
    assert backends.count(backend) == attempts
    assert results(page) == {(backend, "503"): 1}


def test_results_of_a_page_are_counted_by_backend_and_status(page: TestClient, backends: FakeBackends) -> None:
    backends.responses["details"] = backends.status(404)
    page.get("/productpage")
    page.get("/productpage")
    assert results(page) == {("details", "404"): 2, ("reviews", "200"): 2}


def test_the_calls_of_a_flood_are_counted(start: Start) -> None:
    page = start(flood_factor=5)
    page.get("/productpage")
    assert results(page) == {("details", "200"): 1, ("reviews", "200"): 6}


@pytest.mark.parametrize("number", [0, 1, 2, 3, 2147483647])
def test_any_valid_id_is_requested(page: TestClient, backends: FakeBackends, number: int) -> None:
    assert page.get(f"/api/v1/products/{number}").status_code == 200
    assert backends.requests[0].url.path == f"/details/{number}"


@pytest.mark.parametrize("bad", ["x", "-1", "", "9" * 5000, "1.0", "0%3Fx=1", "..%2Fx"], ids=lambda bad: bad[:9])
@pytest.mark.parametrize("rest", ["", "/reviews", "/ratings"])
def test_a_missing_or_invalid_id_is_400_without_a_call(
    page: TestClient, backends: FakeBackends, bad: str, rest: str
) -> None:
    response = page.get(f"/api/v1/products/{bad}{rest}")
    if "%2F" in bad:
        assert response.status_code == 404
    else:
        assert (response.status_code, response.text) == (400, '{"error":"please provide numeric product id"}')
    assert backends.requests == []


def test_propagated_headers_reach_every_backend_unchanged(page: TestClient, backends: FakeBackends) -> None:
    sent = {
        name: f"{name}: value"
        for name in (
            *("x-request-id", "x-ot-span-context", "x-cloud-trace-context", "grpc-trace-bin", "sw8"),
            *("x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority"),
            *("traceparent", "tracestate", "baggage"),
            *("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "b3"),
            *("user-agent", "cookie", "authorization", "jwt"),
        )
    }
    for path in PATHS.values():
        page.get(path, headers=sent)
    assert len(backends.requests) == 3
    for request in backends.requests:
        assert {name: request.headers.get(name) for name in sent} == sent


@pytest.mark.parametrize(
    ("settings", "details", "reviews", "ratings"),
    [
        ({}, "http://details:9080", "http://reviews:9080", "http://ratings:9080"),
        ({"services_domain": ""}, "http://details:9080", "http://reviews:9080", "http://ratings:9080"),
        ({"services_domain": "b.svc"}, "http://details.b.svc:9080", "http://reviews.b.svc:9080", None),
        (
            {"details_hostname": "d", "reviews_hostname": "r", "ratings_hostname": "s", "ratings_service_port": "81"},
            "http://d:9080",
            "http://r:9080",
            "http://s:81",
        ),
        (
            {"details_service_port": "1", "reviews_service_port": "2"},
            "http://details:1",
            "http://reviews:2",
            "http://ratings:9080",
        ),
    ],
)
def test_settings_define_the_urls_of_the_backends(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], details: str, reviews: str, ratings: str | None
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name.upper(), value)
    loaded = Settings.load()
    assert (loaded.details_url, loaded.reviews_url) == (details, reviews)
    assert ratings is None or loaded.ratings_url == ratings


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("FLOOD_FACTOR", "many", "input should be a valid integer"),
        ("FLOOD_FACTOR", "-1", "input should be greater than or equal to 0"),
        ("SESSION_SECRET", "short", "expected at least 16 characters$"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, envoy", "'envoy' does not appear to be an IPv4 or IPv6 network"),
        ("DETAILS_HOSTNAME", "http://details", "expected a host name or an IP address"),
        ("RATINGS_SERVICE_PORT", "tcp://10.0.0.1:9080", "input should be a valid integer"),
        ("SERVICES_DOMAIN", ".svc", "expected a host name or an IP address"),
        ("VERSION", "v 1", "string should match pattern"),
    ],
)
def test_an_invalid_setting_is_rejected_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettingsError, match=f"^{name}: {reason}"):
        Settings.load()
