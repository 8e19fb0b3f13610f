"""How long a page takes when something behind it is slow: the lessons of Istio's tasks, without waiting for them."""

from typing import Any

import httpx
import pytest

MakeMesh = Any

NO_DETAILS = "Sorry, product details are currently unavailable for this book."
NO_REVIEWS = "Sorry, product reviews are currently unavailable for this book."
NO_RATINGS = "Ratings service is currently unavailable"
FOREVER = 600_000
"""Milliseconds."""


def browse(mesh: Any, path: str = "/productpage") -> tuple[httpx.Response, float]:
    """The answer, and how many seconds it took."""
    answer = mesh.browse(path)
    assert isinstance(answer, httpx.Response)
    return answer, round(mesh.seconds, 2)


def test_when_nothing_is_slow_the_page_takes_no_time(make_mesh: MakeMesh) -> None:
    assert browse(make_mesh())[1] == 0


def test_a_7_s_delay_of_ratings_makes_reviews_v2_miss_both_attempts_of_3_s(make_mesh: MakeMesh) -> None:
    """Istio's fault injection task: reviews would wait for 10 s, productpage does not wait for reviews."""
    answer, seconds = browse(make_mesh(reviews="v2", delays={"ratings": 7000}))
    assert (answer.status_code, seconds) == (200, 6)
    assert NO_REVIEWS in answer.text
    assert "Book Details" in answer.text


def test_reviews_v3_gives_ratings_up_after_2_5_s_so_that_the_page_has_its_reviews(make_mesh: MakeMesh) -> None:
    answer, seconds = browse(make_mesh(reviews="v3", delays={"ratings": 7000}))
    assert (answer.text.count(NO_RATINGS), seconds) == (2, 2.5)
    assert "Book Reviews" in answer.text


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_2_s_delay_of_ratings_is_waited_for(make_mesh: MakeMesh, version: str) -> None:
    answer, seconds = browse(make_mesh(reviews=version, delays={"ratings": 2000}))
    assert (answer.text.count("glyphicon glyphicon-star"), seconds) == (9, 2)


@pytest.mark.parametrize(("version", "seconds"), [("v2", 10), ("v3", 2.5)])
def test_reviews_waits_for_ratings_10_s_with_black_stars_and_2_5_s_with_red_ones(
    make_mesh: MakeMesh, version: str, seconds: float
) -> None:
    mesh = make_mesh(reviews=version, delays={"ratings": FOREVER})

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=mesh) as client:
            return await client.get("http://reviews:9080/reviews/0")

    answer = mesh.run(scenario)
    assert (answer.status_code, answer.text.count(NO_RATINGS), mesh.seconds) == (200, 2, seconds)


def test_details_are_waited_for_3_s_once(make_mesh: MakeMesh) -> None:
    answer, seconds = browse(make_mesh(delays={"details": FOREVER}))
    assert NO_DETAILS in answer.text
    assert "Book Reviews" in answer.text
    assert seconds == 3


def test_details_and_reviews_are_waited_for_at_the_same_time(make_mesh: MakeMesh) -> None:
    answer, seconds = browse(make_mesh(delays={"details": FOREVER, "reviews": FOREVER}))
    assert NO_DETAILS in answer.text
    assert NO_REVIEWS in answer.text
    assert seconds == 6


@pytest.mark.parametrize(("path", "seconds"), [("", 3), ("/reviews", 6), ("/ratings", 3)])
def test_the_api_waits_as_the_page_does(make_mesh: MakeMesh, path: str, seconds: float) -> None:
    delays = dict.fromkeys(("details", "reviews", "ratings"), FOREVER)
    answer, took = browse(make_mesh(delays=delays), f"/api/v1/products/0{path}")
    assert (answer.status_code, took) == (500, seconds)


def test_v_delayed_is_what_its_name_says(make_mesh: MakeMesh) -> None:
    answer, seconds = browse(make_mesh(ratings="v-delayed", delayed_percent=100), "/api/v1/products/0/ratings")
    assert (answer.status_code, seconds) == (500, 3)
