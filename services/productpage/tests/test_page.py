"""The page is always 200 and shows an error in place of a missing section."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_productpage.backends import Backends

FakeBackends = Any
Start = Callable[..., TestClient]

STAR = "glyphicon glyphicon-star"
RED = {"stars": 5, "color": "red"}
BLACK = {"stars": 3, "color": "black"}
NO_RATINGS = {"error": "Ratings service is currently unavailable"}


def html(page: TestClient) -> str:
    response = page.get("/productpage")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


def test_the_title_appears_once_and_on_one_line(page: TestClient) -> None:
    assert re.findall("<title>.*</title>", html(page)) == ["<title>Simple Bookstore App</title>"]
    assert html(page).count("title>") == 2


def test_the_page_shows_the_book_its_details_and_its_reviews(page: TestClient) -> None:
    text = html(page)
    for expected in (
        "The Comedy of Errors",
        "William Shakespeare",
        "Book Details",
        "PublisherA",
        "1234567890",
        "123-1234567890",
        "Book Reviews",
        "Text 1.",
        "Text 2.",
        "Reviewer1",
    ):
        assert expected in text
    assert "Error" not in text.replace("The Comedy of Errors", "").replace("The_Comedy_of_Errors", "")


def test_without_ratings_the_page_shows_no_stars(page: TestClient) -> None:
    assert STAR not in html(page)


def test_the_page_shows_each_star_once(page: TestClient, backends: FakeBackends) -> None:
    backends.responses["reviews"] = backends.reviews(RED, BLACK)
    assert html(page).count(STAR) == 8


@pytest.mark.parametrize(("rating", "other"), [(RED, "black"), (BLACK, "red")])
def test_the_colors_differ_in_class_and_text(
    page: TestClient, backends: FakeBackends, rating: dict[str, Any], other: str
) -> None:
    backends.responses["reviews"] = backends.reviews(rating, rating)
    text = html(page)
    assert f"text-{rating['color']}-500" in text
    assert f"{rating['color']} stars" in text
    assert f"text-{other}-500" not in text


def test_zero_stars_are_not_drawn(page: TestClient, backends: FakeBackends) -> None:
    backends.responses["reviews"] = backends.reviews({"stars": 0, "color": "black"}, None)
    assert STAR not in html(page)


def test_missing_ratings_are_shown_as_an_error(page: TestClient, backends: FakeBackends) -> None:
    backends.responses["reviews"] = backends.reviews(NO_RATINGS, NO_RATINGS)
    text = html(page)
    assert text.count("Ratings service is currently unavailable") == 2
    assert STAR not in text
    assert "Text 1." in text


def test_the_pod_name_is_on_a_line_of_its_own(page: TestClient, backends: FakeBackends) -> None:
    backends.responses["reviews"] = backends.reviews(None, podname="reviews-v3-7d4-x")
    lines = [line.strip() for line in html(page).splitlines()]
    assert lines.count("reviews-v3-7d4-x") == 1
    assert sum("reviews-v3" in line for line in lines) == 1


@pytest.mark.parametrize(("cluster", "shown"), [("null", False), ("east", True)])
def test_the_cluster_is_shown_if_it_has_a_name(
    page: TestClient, backends: FakeBackends, cluster: str, shown: bool
) -> None:
    backends.responses["reviews"] = backends.reviews(None, cluster=cluster)
    assert ("on cluster" in html(page)) is shown


def test_a_failure_of_details_replaces_its_section_by_an_error(
    page: TestClient, backends: FakeBackends, failing_backend: tuple[Any, int]
) -> None:
    backends.responses["details"] = failing_backend[0]
    text = html(page)
    assert "Error fetching product details" in text
    assert "Sorry, product details are currently unavailable for this book." in text
    assert "Book Details" not in text
    assert "PublisherA" not in text
    assert "Book Reviews" in text


def test_a_failure_of_reviews_replaces_its_section_by_an_error(
    page: TestClient, backends: FakeBackends, failing_backend: tuple[Any, int]
) -> None:
    backends.responses["reviews"] = failing_backend[0]
    text = html(page)
    assert "Error fetching product reviews" in text
    assert "Sorry, product reviews are currently unavailable for this book." in text
    assert "Book Reviews" not in text
    assert "reviews-v" not in text
    assert "Book Details" in text
    assert "William Shakespeare" in text


def test_the_page_is_200_without_any_backend(
    page: TestClient, backends: FakeBackends, failing_backend: tuple[Any, int]
) -> None:
    backends.responses = dict.fromkeys(backends.responses, failing_backend[0])
    text = html(page)
    assert "William Shakespeare" in text
    assert "Error fetching product details" in text
    assert "Error fetching product reviews" in text


@pytest.mark.parametrize(
    "rating",
    [{"stars": 6, "color": "red"}, {"stars": -1, "color": "red"}, {"stars": "many", "color": "red"}, {"stars": 1.5}],
)
def test_invalid_stars_are_a_failure_of_reviews(
    page: TestClient, backends: FakeBackends, rating: dict[str, Any]
) -> None:
    backends.responses["reviews"] = backends.reviews(rating)
    assert "Error fetching product reviews" in html(page)


def test_only_reviews_is_retried_after_a_failure(page: TestClient, backends: FakeBackends) -> None:
    backends.responses = dict.fromkeys(backends.responses, backends.status(500))
    html(page)
    assert (backends.count("details"), backends.count("reviews"), backends.count("ratings")) == (1, 2, 0)


def test_a_successful_call_is_not_repeated(page: TestClient, backends: FakeBackends) -> None:
    html(page)
    assert (backends.count("details"), backends.count("reviews")) == (1, 1)


def test_a_successful_retry_is_shown(page: TestClient, backends: FakeBackends) -> None:
    good, fail = backends.responses["reviews"], backends.status(503)

    def first_fails(request: Any) -> Any:
        backends.responses["reviews"] = good
        return fail(request)

    backends.responses["reviews"] = first_fails
    assert "Book Reviews" in html(page)


def test_content_of_backends_is_escaped(page: TestClient, backends: FakeBackends) -> None:
    evil = "<script>alert(1)</script>"
    backends.responses["details"] = backends.details.replace(b"PublisherA", evil.encode())
    backends.responses["reviews"] = backends.reviews({"error": evil}, {"stars": 1, "color": f'"{evil}'}, podname=evil)
    text = html(page)
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_loads_nothing_from_other_sites(page: TestClient) -> None:
    response = page.get("/productpage")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert re.findall(r'(?:src|srcset|<link[^>]* href)="(?!/static/)', response.text) == []
    assert re.findall(r"<script(?! src=)|<style|style=|\son[a-z]+=", response.text) == []


def test_no_static_file_contains_the_class_of_a_star(page: TestClient) -> None:
    for path in set(re.findall(r'(?:href|src)="(/static/[^"#]*)', html(page))):
        assert STAR not in page.get(path).text


def test_the_page_depends_on_the_cookie(page: TestClient) -> None:
    assert page.get("/productpage").headers["vary"] == "Cookie"


def test_all_local_links_of_the_page_exist(page: TestClient) -> None:
    pages = html(page) + page.get("/").text
    for path in sorted(set(re.findall(r'(?:href|src|action)="(/[^"#]*)', pages))):
        status = page.options(path).status_code
        assert status == 200, path


@pytest.mark.parametrize("path", ["/", "/index.html"])
def test_the_landing_page_links_to_the_product_page(page: TestClient, path: str) -> None:
    response = page.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/productpage"' in response.text


@pytest.mark.parametrize("path", ["/productpage/", "/favicon.ico", "/static/../settings.py", "/static/nothing.css"])
def test_an_unknown_path_is_404_in_json(page: TestClient, path: str) -> None:
    response = page.get(path)
    assert (response.status_code, response.json()) == (404, {"error": "not found"})


def test_static_files_have_their_type_and_can_be_revalidated(page: TestClient) -> None:
    response = page.get("/static/style.css")
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    again = page.get("/static/style.css", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/static/style.css", "/productpage", "/", "/health"])
def test_get_routes_support_head(page: TestClient, path: str) -> None:
    head = page.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == page.get(path).headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/static/style.css", "/productpage"])
def test_other_methods_are_405(page: TestClient, path: str) -> None:
    response = page.post(path)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_health_is_the_same_as_in_the_original(page: TestClient) -> None:
    response = page.get("/health")
    assert (response.text, response.headers["content-type"]) == ("Product page is healthy", "text/html; charset=utf-8")


@pytest.mark.parametrize(("factor", "calls"), [(0, 1), (1, 2), (100, 101)])
def test_flood_factor_adds_calls_to_reviews(start: Start, backends: FakeBackends, factor: int, calls: int) -> None:
    html(start(flood_factor=factor))
    assert (backends.count("reviews"), backends.count("details")) == (calls, 1)


def test_the_calls_of_a_flood_are_concurrent() -> None:
    under_way, most = 0, 0

    async def slow(_request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return httpx.Response(500)

    urls = {name: f"http://{name}:9080" for name in ("details", "reviews", "ratings")}
    backends = Backends(urls, httpx.MockTransport(slow), ServiceMetrics.create())
    asyncio.run(backends.load_page(0, (), flood_factor=5))
    assert most == 5


def test_each_call_of_a_flood_is_retried(start: Start, backends: FakeBackends) -> None:
    backends.responses["reviews"] = backends.status(500)
    html(start(flood_factor=3))
    assert backends.count("reviews") == 8
