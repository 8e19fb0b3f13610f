"""Who served the page: the instances, what became of each call, and the ids by which the request is found again."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.settings import InvalidSettingsError

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def hop(page: TestClient, name: str, **options: Any) -> str:
    """What the page says of a service, without markup."""
    html = page.get("/productpage", **options).text
    hops = re.findall(r'<li class="hop [^"]*">(.*?)</li>', html, re.DOTALL)
    texts = [re.sub(r"<[^>]+>|\s+", " ", each) for each in hops]
    return next(" ".join(text.split()) for text in texts if text.split()[0] == name)


def signed(content: bytes, version: str, pod: str, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    headers = {"bookinfo-version": version, "bookinfo-pod": pod}
    return lambda _: httpx.Response(status, content=content, headers=headers)


def test_productpage_names_itself(start: Callable[..., TestClient]) -> None:
    page = start(version="v7", hostname="productpage-v7-abc")
    assert hop(page, "productpage") == "productpage v7 Productpage served by: productpage-v7-abc"


def test_without_a_pod_name_none_is_made_up(start: Callable[..., TestClient]) -> None:
    assert hop(start(hostname="null"), "productpage") == "productpage v1"


def test_details_is_named_by_its_signature(page: TestClient, world: Any) -> None:
    world.answers["details"] = signed(world.details, "v2", "details-v2-abc")
    assert re.fullmatch(r"details v2 \d+(\.\d)? m?s Details served by: details-v2-abc", hop(page, "details"))


def test_reviews_is_named_by_its_signature_and_the_pod_by_its_body(page: TestClient, world: Any) -> None:
    body = world.reviews(None, podname="reviews-v3-abc", cluster="east")
    world.answers["reviews"] = signed(body, "v3", "another")
    text = hop(page, "reviews")
    assert text.startswith("reviews v3")
    assert text.endswith("Reviews served by: reviews-v3-abc on cluster east")
    assert "another" not in text


def test_the_originals_services_sign_nothing_and_are_shown_without_a_version(page: TestClient, world: Any) -> None:
    world.answers["reviews"] = world.reviews(None, podname="reviews-v1-abc")
    text = hop(page, "reviews")
    assert re.match(r"reviews \d", text)
    assert text.endswith("reviews-v1-abc")


def test_an_error_with_a_signature_is_the_pods(page: TestClient, world: Any) -> None:
    world.answers["details"] = signed(b"{}", "v1", "details-v1-sick", status=500)
    text = hop(page, "details")
    assert "returned 500" in text
    assert "Details served by: details-v1-sick" in text
    assert "proxy" not in text


def test_an_error_without_a_signature_is_a_proxys(page: TestClient, world: Any) -> None:
    world.answers["details"] = lambda _: httpx.Response(503, content=b"no healthy upstream")
    assert hop(page, "details").endswith("a proxy returned 503: the response names no pod")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError, "cannot be reached"),
        (httpx.ReadTimeout, "no response within 3 s"),
        (httpx.ReadError, "sent an incomplete response"),
    ],
)
def test_a_call_without_an_answer_says_why(
    page: TestClient, world: Any, error: type[httpx.TransportError], words: str
) -> None:
    def fails(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)

    world.answers["details"] = fails
    assert hop(page, "details").endswith(words)


def test_a_second_attempt_is_told(page: TestClient, world: Any) -> None:
    world.answers["reviews"] = lambda _: httpx.Response(500)
    assert hop(page, "reviews").endswith("called 2 times")


def test_ratings_is_not_asked_by_a_version_without_stars(page: TestClient, world: Any) -> None:
    world.answers["reviews"] = world.reviews(None, None)
    assert hop(page, "ratings") == "ratings not called: this version of reviews shows no stars"


def test_ratings_answered_where_there_are_stars(page: TestClient, world: Any) -> None:
    world.answers["reviews"] = world.reviews({"stars": 5, "color": "red"}, {"stars": 0, "color": "red"})
    assert hop(page, "ratings") == "ratings responded to reviews"


def test_ratings_failed_where_reviews_says_so(page: TestClient, world: Any) -> None:
    world.answers["reviews"] = world.reviews({"error": "Ratings service is currently unavailable"})
    assert hop(page, "ratings") == "ratings did not respond to reviews"


def test_of_ratings_nothing_is_known_without_reviews(page: TestClient, world: Any) -> None:
    world.answers["reviews"] = lambda _: httpx.Response(503)
    assert hop(page, "ratings") == "ratings unknown: reviews did not respond"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        {"b3": f"{TRACE}-00f067aa0ba902b7-1"},
        {"x-b3-traceid": TRACE, "x-b3-spanid": "00f067aa0ba902b7"},
    ],
)
def test_the_trace_is_named(page: TestClient, headers: dict[str, str]) -> None:
    assert f"<dt>Trace</dt><dd><code>{TRACE}</code></dd>" in page.get("/productpage", headers=headers).text


def test_the_trace_is_a_link_where_there_is_a_place_to_look_at_it(start: Callable[..., TestClient]) -> None:
    page = start(trace_url_template="https://jaeger.example/trace/{trace_id}?ui=1")
    text = page.get("/productpage", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}).text
    assert f'<a href="https://jaeger.example/trace/{TRACE}?ui=1"><code>{TRACE}</code></a>' in text
    assert "jaeger" not in page.get("/productpage").text


@pytest.mark.parametrize("template", ["javascript:alert({trace_id})", "/trace/{trace_id}", "https://jaeger.example/"])
def test_a_template_that_cannot_be_a_link_to_a_trace_is_refused(
    start: Callable[..., TestClient], template: str
) -> None:
    with pytest.raises(
        InvalidSettingsError, match="TRACE_URL_TEMPLATE: expected a URL that starts with http:// or https:// and"
    ):
        start(trace_url_template=template)


def test_the_request_is_named(page: TestClient) -> None:
    request = "5d2c9f6e-8b1a-4f3e-9c7d-2a6b0e4f1c38"
    text = page.get("/productpage", headers={"x-request-id": request}).text
    assert f"<dt>Request</dt><dd><code>{request}</code></dd>" in text


@pytest.mark.parametrize("value", ["<script>", "x" * 10_000, "${jndi:ldap://x}", "a b"])
@pytest.mark.parametrize("name", ["x-request-id", "x-b3-traceid", "traceparent", "b3"])
def test_a_header_that_is_no_id_is_not_shown(page: TestClient, name: str, value: str) -> None:
    sent = {"traceparent": f"00-{value}-00f067aa0ba902b7-01", "b3": f"{value}-00f067aa0ba902b7-1"}.get(name, value)
    text = page.get("/productpage", headers={name: sent}).text
    assert "<dt>Request</dt>" not in text
    assert "<dt>Trace</dt><dd>none in this request</dd>" in text


def test_the_end_user_header_is_shown_as_it_is_sent(page: TestClient, world: Any) -> None:
    page.post("/login", data={"username": "Zoë"})
    text = page.get("/productpage").text
    assert "<code>Zo%C3%AB</code>" in text
    assert all(request.headers["end-user"] == "Zo%C3%AB" for request in world.asked)


@pytest.mark.parametrize("user", ["x" * 200, "😀" * 200, "<\"'&>" * 40])
def test_the_page_stays_below_12_kilobytes(page: TestClient, world: Any, user: str) -> None:
    world.answers["reviews"] = world.reviews({"stars": 5, "color": "red"}, {"stars": 4, "color": "red"})
    page.post("/login", data={"username": user})
    assert len(page.get("/productpage").content) < 12_000
