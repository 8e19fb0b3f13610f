"""Each client against the real application of its server: no network, nothing made up."""

import re
from typing import Any

import httpx
import pytest

Mesh = Any
MakeMesh = Any

REVIEWS = ["v1", "v2", "v3"]
STAR = "glyphicon glyphicon-star"


# --- reviews asks ratings ---------------------------------------------------------------------------------------------


def ratings_seen_by_reviews(mesh: Mesh) -> Any:
    return mesh.run(lambda: mesh.ratings_client().ratings(0))


def test_reviews_understands_ratings(make_mesh: MakeMesh) -> None:
    assert ratings_seen_by_reviews(make_mesh()) == {"Reviewer1": 5, "Reviewer2": 4}


def test_reviews_sees_what_was_posted_to_ratings(make_mesh: MakeMesh) -> None:
    mesh = make_mesh()

    async def scenario() -> Any:
        async with httpx.AsyncClient(transport=mesh) as client:
            await client.post("http://ratings:9080/ratings/0", json={"Reviewer1": 1, "Reviewer2": 2})
        return await mesh.ratings_client().ratings(0)

    assert mesh.run(scenario) == {"Reviewer1": 1, "Reviewer2": 2}


def test_reviews_takes_a_sick_ratings_for_missing(make_mesh: MakeMesh) -> None:
    assert ratings_seen_by_reviews(make_mesh(ratings="v-faulty", faulty_percent=100)) is None


def test_reviews_takes_an_injected_fault_for_missing(make_mesh: MakeMesh) -> None:
    assert ratings_seen_by_reviews(make_mesh(fault_abort_percent=100)) is None


# --- productpage asks details, reviews and ratings --------------------------------------------------------------------


def ask(mesh: Mesh, backend: str, product_id: int = 0) -> Any:
    """What productpage's own client makes of a backend's answer."""
    return mesh.run(lambda: getattr(mesh.backends(), backend).get(product_id, []))


def test_productpage_understands_details(make_mesh: MakeMesh) -> None:
    mesh = make_mesh()
    answer = ask(mesh, "details", 0)
    assert (answer.status, len(answer.content)) == (200, 178)
    assert answer.model is not None
    assert (answer.model.publisher, answer.model.isbn_13) == ("PublisherA", "123-1234567890")


@pytest.mark.parametrize("version", REVIEWS)
def test_productpage_understands_every_build_of_reviews(make_mesh: MakeMesh, version: str) -> None:
    mesh = make_mesh(reviews=version)
    answer = ask(mesh, "reviews", 0)
    assert answer.model is not None
    assert answer.model.podname == f"reviews-{version}-pod"
    stars = [review.rating and (review.rating.stars, review.rating.color) for review in answer.model.reviews]
    assert stars == {"v1": [None, None], "v2": [(5, "black"), (4, "black")], "v3": [(5, "red"), (4, "red")]}[version]


def test_productpage_understands_that_ratings_are_missing(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v2", ratings="v-faulty", faulty_percent=100)
    answer = ask(mesh, "reviews", 0)
    assert answer.model is not None
    assert [review.rating and review.rating.error for review in answer.model.reviews] == [
        "Ratings service is currently unavailable"
    ] * 2


def test_productpage_understands_ratings(make_mesh: MakeMesh) -> None:
    mesh = make_mesh()
    answer = ask(mesh, "ratings", 7)
    assert answer.model is not None
    assert answer.content == b'{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}'


# --- the whole chain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "stars", "color"), [("v1", 0, None), ("v2", 9, "black"), ("v3", 9, "red")])
def test_the_page_shows_the_stars_of_every_build(
    make_mesh: MakeMesh, version: str, stars: int, color: str | None
) -> None:
    answer = make_mesh(reviews=version).browse()
    assert answer.status_code == 200
    assert answer.text.count(STAR) == stars
    assert re.findall(r"\b(red|black) stars\b", answer.text) == ([color] * 2 if color else [])
    assert f"reviews-{version}-pod" in answer.text


def test_without_ratings_the_page_shows_the_reviews_and_says_so(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v3")
    del mesh.apps["ratings"]
    answer = mesh.browse()
    assert answer.text.count("Ratings service is currently unavailable") == 2
    assert "Book Reviews" in answer.text


@pytest.mark.parametrize("name", ["details", "reviews"])
def test_without_a_backend_the_page_is_there(make_mesh: MakeMesh, name: str) -> None:
    mesh = make_mesh()
    del mesh.apps[name]
    answer = mesh.browse()
    assert answer.status_code == 200
    assert f"Error fetching product {name}" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/products",
        "/api/v1/products/0",
        "/api/v1/products/0/reviews",
        "/api/v1/products/0/ratings",
        "/api/v1/products/3/ratings",
    ],
)
def test_the_public_api_answers_json(make_mesh: MakeMesh, path: str) -> None:
    answer = make_mesh().browse(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()


def test_every_header_of_the_list_comes_to_every_service_as_the_browser_sent_it(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v3")
    sent = {
        name: f"value of {name}"
        for name in (
            *("x-request-id", "x-ot-span-context", "x-cloud-trace-context", "grpc-trace-bin", "sw8"),
            *("x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority"),
            *("traceparent", "tracestate", "baggage"),
            *("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "b3"),
            *("user-agent", "cookie", "authorization", "jwt"),
        )
    }
    mesh.browse(**sent)
    assert sorted(name for name, _ in mesh.seen) == ["details", "productpage", "ratings", "reviews"]
    for name, headers in mesh.seen:
        got = {key.decode().lower(): value.decode() for key, value in headers}
        assert {key: got.get(key) for key in sent} == sent, name


def test_the_user_of_the_session_comes_to_ratings_and_one_from_outside_does_not(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v2")

    async def scenario() -> None:
        async with httpx.AsyncClient(transport=mesh, base_url="http://productpage") as browser:
            await browser.post("/login", data={"username": "jason"})
            mesh.seen.clear()
            await browser.get("/productpage", headers={"end-user": "eve"})

    mesh.run(scenario)
    users = {
        name: [value for key, value in headers if key.lower() == b"end-user"]
        for name, headers in mesh.seen
        if name != "productpage"
    }
    assert users == {"details": [b"jason"], "reviews": [b"jason"], "ratings": [b"jason"]}


def test_nobody_calls_anybody_else(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v1")
    mesh.browse()
    assert sorted(name for name, _ in mesh.seen) == ["details", "productpage", "reviews"]
