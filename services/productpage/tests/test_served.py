"""Who served the page: the pods, the result of each call, and the ids of the request."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.settings import InvalidSettingsError

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def hop(page: TestClient, name: str, **options: Any) -> str:
    """Return the text of the page about a service."""
    html = page.get("/productpage", **options).text
    hops = re.findall(r'<li class="hop [^"]*">(.*?)</li>', html, re.DOTALL)
    texts = [re.sub(r"<[^>]+>|\s+", " ", each) for each in hops]
    return next(" ".join(text.split()) for text in texts if text.split()[0] == name)


def from_pod(content: bytes, version: str, pod: str, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    headers = {"bookinfo-version": version, "bookinfo-pod": pod}
    return lambda _: httpx.Response(status, content=content, headers=headers)


def test_productpage_shows_its_own_version_and_pod(start: Callable[..., TestClient]) -> None:
    page = start(version="v7", hostname="productpage-v7-abc")
    assert hop(page, "productpage") == "productpage v7 Productpage served by: productpage-v7-abc"


def test_without_a_pod_name_the_page_shows_none(start: Callable[..., TestClient]) -> None:
    assert hop(start(hostname="null"), "productpage") == "productpage v1"


def test_version_and_pod_of_details_come_from_its_headers(page: TestClient, backends: Any) -> None:
    backends.responses["details"] = from_pod(backends.details, "v2", "details-v2-abc")
    assert re.fullmatch(r"details v2 \d+(\.\d)? m?s Details served by: details-v2-abc", hop(page, "details"))


def test_the_version_of_reviews_comes_from_its_headers_and_the_pod_from_its_body(
    page: TestClient, backends: Any
) -> None:
    body = backends.reviews(None, podname="reviews-v3-abc", cluster="east")
    backends.responses["reviews"] = from_pod(body, "v3", "another")
    text = hop(page, "reviews")
    assert text.startswith("reviews v3")
    assert text.endswith("Reviews served by: reviews-v3-abc on cluster east")
    assert "another" not in text


def test_a_service_without_the_headers_is_shown_without_a_version(page: TestClient, backends: Any) -> None:
    backends.responses["reviews"] = backends.reviews(None, podname="reviews-v1-abc")
    text = hop(page, "reviews")
    assert re.match(r"reviews \d", text)
    assert text.endswith("reviews-v1-abc")


def test_an_error_with_the_headers_is_attributed_to_the_pod(page: TestClient, backends: Any) -> None:
    backends.responses["details"] = from_pod(b"{}", "v1", "details-v1-faulty", status=500)
    text = hop(page, "details")
    assert "returned 500" in text
    assert "Details served by: details-v1-faulty" in text
    assert "proxy" not in text


def test_an_error_without_the_headers_is_attributed_to_a_proxy(page: TestClient, backends: Any) -> None:
    backends.responses["details"] = lambda _: httpx.Response(503, content=b"no healthy upstream")
    assert hop(page, "details").endswith("a proxy returned 503: the response names no pod")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError, "cannot be reached"),
        (httpx.ReadTimeout, "no response within 3 s"),
        (httpx.ReadError, "sent an incomplete response"),
    ],
)
def test_a_call_without_a_response_shows_the_cause(
    page: TestClient, backends: Any, error: type[httpx.TransportError], words: str
) -> None:
    def fails(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)

    backends.responses["details"] = fails
    assert hop(page, "details").endswith(words)


def test_a_retry_is_shown(page: TestClient, backends: Any) -> None:
    backends.responses["reviews"] = lambda _: httpx.Response(500)
    assert hop(page, "reviews").endswith("called 2 times")


def test_ratings_is_shown_as_not_called_for_a_version_without_stars(page: TestClient, backends: Any) -> None:
    backends.responses["reviews"] = backends.reviews(None, None)
    assert hop(page, "ratings") == "ratings not called: this version of reviews shows no stars"


def test_ratings_is_shown_as_successful_if_there_are_stars(page: TestClient, backends: Any) -> None:
    backends.responses["reviews"] = backends.reviews({"stars": 5, "color": "red"}, {"stars": 0, "color": "red"})
    assert hop(page, "ratings") == "ratings responded to reviews"


def test_ratings_is_shown_as_failed_if_reviews_has_the_error(page: TestClient, backends: Any) -> None:
    backends.responses["reviews"] = backends.reviews({"error": "Ratings service is currently unavailable"})
    assert hop(page, "ratings") == "ratings did not respond to reviews"


def test_ratings_is_shown_as_unknown_without_reviews(page: TestClient, backends: Any) -> None:
    backends.responses["reviews"] = lambda _: httpx.Response(503)
    assert hop(page, "ratings") == "ratings unknown: reviews did not respond"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        {"b3": f"{TRACE}-00f067aa0ba902b7-1"},
        {"x-b3-traceid": TRACE, "x-b3-spanid": "00f067aa0ba902b7"},
    ],
)
def test_the_trace_id_is_shown(page: TestClient, headers: dict[str, str]) -> None:
    assert f"<dt>Trace</dt><dd><code>{TRACE}</code></dd>" in page.get("/productpage", headers=headers).text


def test_the_trace_id_is_a_link_if_there_is_a_template(start: Callable[..., TestClient]) -> None:
    page = start(trace_url_template="https://jaeger.example/trace/{trace_id}?ui=1")
    text = page.get("/productpage", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}).text
    assert f'<a href="https://jaeger.example/trace/{TRACE}?ui=1"><code>{TRACE}</code></a>' in text
    assert "jaeger" not in page.get("/productpage").text


@pytest.mark.parametrize("template", ["javascript:alert({trace_id})", "/trace/{trace_id}", "https://jaeger.example/"])
def test_an_invalid_trace_url_template_is_rejected(start: Callable[..., TestClient], template: str) -> None:
    with pytest.raises(
        InvalidSettingsError, match="TRACE_URL_TEMPLATE: expected a URL that starts with http:// or https:// and"
    ):
        start(trace_url_template=template)


def test_the_request_id_is_shown(page: TestClient) -> None:
    request = "5d2c9f6e-8b1a-4f3e-9c7d-2a6b0e4f1c38"
    text = page.get("/productpage", headers={"x-request-id": request}).text
    assert f"<dt>Request</dt><dd><code>{request}</code></dd>" in text


@pytest.mark.parametrize("value", ["<script>", "x" * 10_000, "${jndi:ldap://x}", "a b"])
@pytest.mark.parametrize("name", ["x-request-id", "x-b3-traceid", "traceparent", "b3"])
def test_an_invalid_id_is_not_shown(page: TestClient, name: str, value: str) -> None:
    sent = {"traceparent": f"00-{value}-00f067aa0ba902b7-01", "b3": f"{value}-00f067aa0ba902b7-1"}.get(name, value)
    text = page.get("/productpage", headers={name: sent}).text
    assert "<dt>Request</dt>" not in text
    assert "<dt>Trace</dt><dd>none in this request</dd>" in text


def test_the_end_user_header_is_shown_as_sent(page: TestClient, backends: Any) -> None:
    page.post("/login", data={"username": "Zoë"})
    text = page.get("/productpage").text
    assert "<code>Zo%C3%AB</code>" in text
    assert all(request.headers["end-user"] == "Zo%C3%AB" for request in backends.requests)


@pytest.mark.parametrize("user", ["x" * 200, "😀" * 200, "<\"'&>" * 40])
def test_the_page_is_smaller_than_12_kb(page: TestClient, backends: Any, user: str) -> None:
    backends.responses["reviews"] = backends.reviews({"stars": 5, "color": "red"}, {"stars": 4, "color": "red"})
    page.post("/login", data={"username": user})
    assert len(page.get("/productpage").content) < 12_000
