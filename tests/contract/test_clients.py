"""Each client with the real application of its server, without a network."""

import re
from typing import Any

import httpx
import pytest

Mesh = Any
MakeMesh = Any

REVIEWS = ["v1", "v2", "v3"]
STAR = "glyphicon glyphicon-star"


# --- reviews calls ratings --------------------------------------------------------------------------------------------


def ratings_seen_by_reviews(mesh: Mesh) -> Any:
    return mesh.run(lambda: mesh.ratings_client().ratings(0))


def test_reviews_reads_the_response_of_ratings(make_mesh: MakeMesh) -> None:
    assert ratings_seen_by_reviews(make_mesh()) == {"Reviewer1": 5, "Reviewer2": 4}


def test_reviews_reads_posted_ratings(make_mesh: MakeMesh) -> None:
    mesh = make_mesh()

    async def scenario() -> Any:
        async with httpx.AsyncClient(transport=mesh) as client:
            await client.post("http://ratings:9080/ratings/0", json={"Reviewer1": 1, "Reviewer2": 2})
        return await mesh.ratings_client().ratings(0)

    assert mesh.run(scenario) == {"Reviewer1": 1, "Reviewer2": 2}


def test_reviews_has_no_ratings_if_ratings_is_faulty(make_mesh: MakeMesh) -> None:
    assert ratings_seen_by_reviews(make_mesh(ratings="v-faulty", faulty_percent=100)) is None


def test_reviews_has_no_ratings_after_an_injected_fault(make_mesh: MakeMesh) -> None:
    assert ratings_seen_by_reviews(make_mesh(fault_abort_percent=100)) is None


# --- productpage calls details, reviews and ratings -------------------------------------------------------------------


def call_backend(mesh: Mesh, backend: str, product_id: int = 0) -> Any:
    """Call a backend with the client of productpage."""
    return mesh.run(lambda: getattr(mesh.backends(), backend).get(product_id, []))


def test_productpage_reads_the_response_of_details(make_mesh: MakeMesh) -> None:
    mesh = make_mesh()
    response = call_backend(mesh, "details", 0)
    assert (response.status, len(response.content)) == (200, 178)
    assert response.model is not None
    assert (response.model.publisher, response.model.isbn_13) == ("PublisherA", "123-1234567890")


@pytest.mark.parametrize("version", REVIEWS)
def test_productpage_reads_the_response_of_every_version_of_reviews(make_mesh: MakeMesh, version: str) -> None:
    mesh = make_mesh(reviews=version)
    response = call_backend(mesh, "reviews", 0)
    assert response.model is not None
    assert response.model.podname == f"reviews-{version}-pod"
    stars = [review.rating and (review.rating.stars, review.rating.color) for review in response.model.reviews]
    assert stars == {"v1": [None, None], "v2": [(5, "black"), (4, "black")], "v3": [(5, "red"), (4, "red")]}[version]


def test_productpage_reads_the_error_for_missing_ratings(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v2", ratings="v-faulty", faulty_percent=100)
    response = call_backend(mesh, "reviews", 0)
    assert response.model is not None
    assert [review.rating and review.rating.error for review in response.model.reviews] == [
        "Ratings service is currently unavailable"
    ] * 2


def test_productpage_reads_the_response_of_ratings(make_mesh: MakeMesh) -> None:
    mesh = make_mesh()
    response = call_backend(mesh, "ratings", 7)
    assert response.model is not None
    assert response.content == b'{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}'


# --- the whole chain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "stars", "color"), [("v1", 0, None), ("v2", 9, "black"), ("v3", 9, "red")])
def test_the_page_shows_the_stars_of_every_version(
    make_mesh: MakeMesh, version: str, stars: int, color: str | None
) -> None:
    response = make_mesh(reviews=version).browse()
    assert response.status_code == 200
    assert response.text.count(STAR) == stars
    assert re.findall(r"\b(red|black) stars\b", response.text) == ([color] * 2 if color else [])
    assert f"reviews-{version}-pod" in response.text


def test_without_ratings_the_page_shows_reviews_with_the_error(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v3")
    del mesh.apps["ratings"]
    response = mesh.browse()
    assert response.text.count("Ratings service is currently unavailable") == 2
    assert "Book Reviews" in response.text


@pytest.mark.parametrize("name", ["details", "reviews"])
def test_without_a_backend_the_page_shows_an_error(make_mesh: MakeMesh, name: str) -> None:
    mesh = make_mesh()
    del mesh.apps[name]
    response = mesh.browse()
    assert response.status_code == 200
    assert f"Error fetching product {name}" in response.text


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
def test_the_public_api_returns_json(make_mesh: MakeMesh, path: str) -> None:
    response = make_mesh().browse(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json()


def test_propagated_headers_reach_every_service_unchanged(make_mesh: MakeMesh) -> None:
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


def test_the_signed_in_user_reaches_ratings_and_a_client_header_does_not(make_mesh: MakeMesh) -> None:
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


def test_services_make_no_other_calls(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(reviews="v1")
    mesh.browse()
    assert sorted(name for name, _ in mesh.seen) == ["details", "productpage", "reviews"]
