"""The page is there whatever its backends do, and says what is missing."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_productpage.backends import Backends

World = Any
Start = Callable[..., TestClient]

STAR = "glyphicon glyphicon-star"
RED = {"stars": 5, "color": "red"}
BLACK = {"stars": 3, "color": "black"}
NO_RATINGS = {"error": "Ratings service is currently unavailable"}


def html(page: TestClient) -> str:
    answer = page.get("/productpage")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_the_title_stands_once_and_on_one_line(page: TestClient) -> None:
    assert re.findall("<title>.*</title>", html(page)) == ["<title>Simple Bookstore App</title>"]
    assert html(page).count("title>") == 2


def test_the_book_its_details_and_its_reviews_are_there(page: TestClient) -> None:
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


def test_without_ratings_there_is_no_star(page: TestClient) -> None:
    assert STAR not in html(page)


def test_each_star_is_drawn_once(page: TestClient, world: World) -> None:
    world.answers["reviews"] = world.reviews(RED, BLACK)
    assert html(page).count(STAR) == 8


@pytest.mark.parametrize(("rating", "other"), [(RED, "black"), (BLACK, "red")])
def test_the_colours_can_be_told_apart(page: TestClient, world: World, rating: dict[str, Any], other: str) -> None:
    world.answers["reviews"] = world.reviews(rating, rating)
    text = html(page)
    assert f"text-{rating['color']}-500" in text
    assert f"{rating['color']} stars" in text
    assert f"text-{other}-500" not in text


def test_without_stars_given_none_are_drawn(page: TestClient, world: World) -> None:
    world.answers["reviews"] = world.reviews({"stars": 0, "color": "black"}, None)
    assert STAR not in html(page)


def test_ratings_that_are_missing_are_said_to_be_missing(page: TestClient, world: World) -> None:
    world.answers["reviews"] = world.reviews(NO_RATINGS, NO_RATINGS)
    text = html(page)
    assert text.count("Ratings service is currently unavailable") == 2
    assert STAR not in text
    assert "Text 1." in text


def test_the_pods_name_stands_alone_on_its_line(page: TestClient, world: World) -> None:
    world.answers["reviews"] = world.reviews(None, podname="reviews-v3-7d4-x")
    lines = [line.strip() for line in html(page).splitlines()]
    assert lines.count("reviews-v3-7d4-x") == 1
    assert sum("reviews-v3" in line for line in lines) == 1


@pytest.mark.parametrize(("cluster", "shown"), [("null", False), ("east", True)])
def test_the_cluster_is_named_when_there_is_one(page: TestClient, world: World, cluster: str, shown: bool) -> None:
    world.answers["reviews"] = world.reviews(None, cluster=cluster)
    assert ("on cluster" in html(page)) is shown


def test_whatever_details_does_the_page_is_there_and_says_so(
    page: TestClient, world: World, bad_backend: tuple[Any, int]
) -> None:
    world.answers["details"] = bad_backend[0]
    text = html(page)
    assert "Error fetching product details" in text
    assert "Sorry, product details are currently unavailable for this book." in text
    assert "Book Details" not in text
    assert "PublisherA" not in text
    assert "Book Reviews" in text


def test_whatever_reviews_does_the_page_is_there_and_says_so(
    page: TestClient, world: World, bad_backend: tuple[Any, int]
) -> None:
    world.answers["reviews"] = bad_backend[0]
    text = html(page)
    assert "Error fetching product reviews" in text
    assert "Sorry, product reviews are currently unavailable for this book." in text
    assert "Book Reviews" not in text
    assert "reviews-v" not in text
    assert "Book Details" in text
    assert "William Shakespeare" in text


def test_without_any_backend_the_page_is_there(page: TestClient, world: World, bad_backend: tuple[Any, int]) -> None:
    world.answers = dict.fromkeys(world.answers, bad_backend[0])
    text = html(page)
    assert "William Shakespeare" in text
    assert "Error fetching product details" in text
    assert "Error fetching product reviews" in text


@pytest.mark.parametrize(
    "rating",
    [{"stars": 6, "color": "red"}, {"stars": -1, "color": "red"}, {"stars": "many", "color": "red"}, {"stars": 1.5}],
)
def test_stars_that_cannot_be_drawn_count_as_a_failure_of_reviews(
    page: TestClient, world: World, rating: dict[str, Any]
) -> None:
    world.answers["reviews"] = world.reviews(rating)
    assert "Error fetching product reviews" in html(page)


def test_details_are_asked_once_and_reviews_a_second_time_when_they_fail(page: TestClient, world: World) -> None:
    world.answers = dict.fromkeys(world.answers, world.status(500))
    html(page)
    assert (world.count("details"), world.count("reviews"), world.count("ratings")) == (1, 2, 0)


def test_reviews_that_answer_are_asked_once(page: TestClient, world: World) -> None:
    html(page)
    assert (world.count("details"), world.count("reviews")) == (1, 1)


def test_a_second_attempt_that_succeeds_is_shown(page: TestClient, world: World) -> None:
    good, fail = world.answers["reviews"], world.status(503)

    def first_fails(request: Any) -> Any:
        world.answers["reviews"] = good
        return fail(request)

    world.answers["reviews"] = first_fails
    assert "Book Reviews" in html(page)


def test_what_backends_say_is_text_and_not_html(page: TestClient, world: World) -> None:
    evil = "<script>alert(1)</script>"
    world.answers["details"] = world.details.replace(b"PublisherA", evil.encode())
    world.answers["reviews"] = world.reviews({"error": evil}, {"stars": 1, "color": f'"{evil}'}, podname=evil)
    text = html(page)
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_may_load_nothing_from_elsewhere(page: TestClient) -> None:
    answer = page.get("/productpage")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.findall(r'(?:src|srcset|<link[^>]* href)="(?!/static/)', answer.text) == []
    assert re.findall(r"<script(?! src=)|<style|style=|\son[a-z]+=", answer.text) == []


def test_the_stars_words_stand_in_no_static_file(page: TestClient) -> None:
    for path in set(re.findall(r'(?:href|src)="(/static/[^"#]*)', html(page))):
        assert STAR not in page.get(path).text


def test_the_page_depends_on_the_cookie(page: TestClient) -> None:
    assert page.get("/productpage").headers["vary"] == "Cookie"


def test_everything_the_page_refers_to_here_exists(page: TestClient) -> None:
    pages = html(page) + page.get("/").text
    for path in sorted(set(re.findall(r'(?:href|src|action)="(/[^"#]*)', pages))):
        status = page.options(path).status_code
        assert status == 200, path


@pytest.mark.parametrize("path", ["/", "/index.html"])
def test_the_landing_page_leads_to_the_book(page: TestClient, path: str) -> None:
    answer = page.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/productpage"' in answer.text


@pytest.mark.parametrize("path", ["/productpage/", "/favicon.ico", "/static/../settings.py", "/static/nothing.css"])
def test_what_is_not_there_is_404_in_json(page: TestClient, path: str) -> None:
    answer = page.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "not found"})


def test_static_files_have_their_type_and_can_be_revalidated(page: TestClient) -> None:
    answer = page.get("/static/style.css")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    again = page.get("/static/style.css", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/static/style.css", "/productpage", "/", "/health"])
def test_head_is_answered_where_get_is(page: TestClient, path: str) -> None:
    head = page.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == page.get(path).headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/static/style.css", "/productpage"])
def test_other_methods_are_405(page: TestClient, path: str) -> None:
    answer = page.post(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_health_is_the_originals(page: TestClient) -> None:
    answer = page.get("/health")
    assert (answer.text, answer.headers["content-type"]) == ("Product page is healthy", "text/html; charset=utf-8")


@pytest.mark.parametrize(("factor", "calls"), [(0, 1), (1, 2), (100, 101)])
def test_flood_factor_makes_so_many_more_calls_of_reviews(start: Start, world: World, factor: int, calls: int) -> None:
    html(start(flood_factor=factor))
    assert (world.count("reviews"), world.count("details")) == (calls, 1)


def test_the_calls_of_the_flood_are_made_at_once() -> None:
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


def test_each_call_of_the_flood_is_tried_twice_too(start: Start, world: World) -> None:
    world.answers["reviews"] = world.status(500)
    html(start(flood_factor=3))
    assert world.count("reviews") == 8
