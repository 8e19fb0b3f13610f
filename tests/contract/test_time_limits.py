"""The duration of a page if a service is slow, as in Istio's tasks, in virtual time."""

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
    """Return the response and its duration in seconds."""
    response = mesh.browse(path)
    assert isinstance(response, httpx.Response)
    return response, round(mesh.seconds, 2)


def test_without_delays_the_page_takes_no_time(make_mesh: MakeMesh) -> None:
    assert browse(make_mesh())[1] == 0


def test_reviews_v2_exceeds_both_attempts_if_ratings_takes_7_s(make_mesh: MakeMesh) -> None:
    """Istio's fault injection task: reviews waits up to 10 s, but productpage waits only 3 s for reviews."""
    response, seconds = browse(make_mesh(reviews="v2", delays={"ratings": 7000}))
    assert (response.status_code, seconds) == (200, 6)
    assert NO_REVIEWS in response.text
    assert "Book Details" in response.text


def test_reviews_v3_responds_without_ratings_after_2_5_s(make_mesh: MakeMesh) -> None:
    response, seconds = browse(make_mesh(reviews="v3", delays={"ratings": 7000}))
    assert (response.text.count(NO_RATINGS), seconds) == (2, 2.5)
    assert "Book Reviews" in response.text


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_reviews_waits_for_a_delay_of_2_s(make_mesh: MakeMesh, version: str) -> None:
    response, seconds = browse(make_mesh(reviews=version, delays={"ratings": 2000}))
    assert (response.text.count("glyphicon glyphicon-star"), seconds) == (9, 2)


@pytest.mark.parametrize(("version", "seconds"), [("v2", 10), ("v3", 2.5)])
def test_reviews_waits_for_ratings_10_s_in_v2_and_2_5_s_in_v3(
    make_mesh: MakeMesh, version: str, seconds: float
) -> None:
    mesh = make_mesh(reviews=version, delays={"ratings": FOREVER})

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=mesh) as client:
            return await client.get("http://reviews:9080/reviews/0")

    response = mesh.run(scenario)
    assert (response.status_code, response.text.count(NO_RATINGS), mesh.seconds) == (200, 2, seconds)


def test_productpage_waits_for_details_once_for_3_s(make_mesh: MakeMesh) -> None:
    response, seconds = browse(make_mesh(delays={"details": FOREVER}))
    assert NO_DETAILS in response.text
    assert "Book Reviews" in response.text
    assert seconds == 3


def test_productpage_waits_for_details_and_reviews_concurrently(make_mesh: MakeMesh) -> None:
    response, seconds = browse(make_mesh(delays={"details": FOREVER, "reviews": FOREVER}))
    assert NO_DETAILS in response.text
    assert NO_REVIEWS in response.text
    assert seconds == 6


@pytest.mark.parametrize(("path", "seconds"), [("", 3), ("/reviews", 6), ("/ratings", 3)])
def test_the_api_has_the_time_limits_of_the_page(make_mesh: MakeMesh, path: str, seconds: float) -> None:
    delays = dict.fromkeys(("details", "reviews", "ratings"), FOREVER)
    response, took = browse(make_mesh(delays=delays), f"/api/v1/products/0{path}")
    assert (response.status_code, took) == (500, seconds)


def test_v_delayed_exceeds_the_time_limit_of_productpage(make_mesh: MakeMesh) -> None:
    response, seconds = browse(make_mesh(ratings="v-delayed", delayed_percent=100), "/api/v1/products/0/ratings")
    assert (response.status_code, seconds) == (500, 3)
