"""The tables of docs/http.md match the responses of the services."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount
from starlette.testclient import TestClient

from bookinfo_details.app import create_app as create_details
from bookinfo_details.settings import Settings as DetailsSettings
from bookinfo_productpage.app import create_app as create_productpage
from bookinfo_productpage.settings import Settings as ProductpageSettings
from bookinfo_ratings.app import create_app as create_ratings
from bookinfo_ratings.settings import Settings as RatingsSettings
from bookinfo_ratings.store import MAX_BOOKS, Store
from bookinfo_reviews.app import create_app as create_reviews
from bookinfo_reviews.settings import Settings as ReviewsSettings

PAGE = Path(__file__).resolve().parents[2] / "docs/http.md"

INVALID_IDS = {"a word": "seven", "empty": "", "`-1`": "-1", "5000 digits": "9" * 5000}
ID_ROUTES = [
    ("productpage", "GET", "/api/v1/products/{id}"),
    ("productpage", "GET", "/api/v1/products/{id}/reviews"),
    ("productpage", "GET", "/api/v1/products/{id}/ratings"),
    ("details", "GET", "/details/{id}"),
    ("reviews", "GET", "/reviews/{id}"),
    ("ratings", "GET", "/ratings/{id}"),
    ("ratings", "POST", "/ratings/{id}"),
]
NAMES = ["productpage", "details", "reviews", "ratings"]
COMMON = ["/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"]
PLAIN_ROUTES = [
    ("productpage", ["/", "/index.html", "/productpage", "/logout", "/api/v1/products"]),
    ("productpage", ["/login"]),
    ("productpage", ["/static/style.css"]),
    ("all", COMMON),
]

Services = dict[str, TestClient]


def start(stack: ExitStack, app: FastAPI) -> TestClient:
    return stack.enter_context(TestClient(app, "http://bookinfo.example", follow_redirects=False))


def no_backend(request: httpx.Request) -> httpx.Response:
    if request.url.path.startswith("/reviews"):
        return httpx.Response(503)
    raise httpx.ConnectError("refused", request=request)


def unhandled_error(_request: httpx.Request) -> httpx.Response:
    raise RuntimeError("an error that details does not handle")


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with ExitStack() as stack:
        productpage = ProductpageSettings.load(session_secret="a key of enough length")
        outside = httpx.MockTransport(no_backend)
        full = Store()
        for number in range(MAX_BOOKS):
            full.put(number + 1, {})
        erroneous = httpx.MockTransport(unhandled_error)
        yield {
            "productpage": start(stack, create_productpage(productpage, outside)),
            "details": start(stack, create_details(DetailsSettings.load())),
            "details v2": start(stack, create_details(DetailsSettings.load(version="v2"), outside)),
            "details with an unhandled error": start(
                stack, create_details(DetailsSettings.load(version="v2"), erroneous)
            ),
            "reviews": start(stack, create_reviews(ReviewsSettings.load())),
            "ratings": start(stack, create_ratings(RatingsSettings.load())),
            "ratings v-faulty": start(
                stack, create_ratings(RatingsSettings.load(version="v-faulty", faulty_percent=100))
            ),
            "ratings with a full store": start(stack, create_ratings(RatingsSettings.load(), store=full)),
            "ratings with a fault": start(stack, create_ratings(RatingsSettings.load(fault_abort_percent=100))),
        }


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def error(response: Any) -> str:
    assert list(response.json()) == ["error"]
    assert response.headers["content-type"] == "application/json"
    return str(response.json()["error"])


def invalid_ids(services: Services) -> str:
    rows = []
    for service, method, route in ID_ROUTES:
        responses = [services[service].request(method, route.format(id=bad)) for bad in INVALID_IDS.values()]
        (text,) = {error(response) for response in responses}
        other = services[service].patch(route.format(id=0))
        assert (other.status_code, error(other)) == (405, "method not allowed")
        statuses = [str(response.status_code) for response in responses]
        rows.append([service, f"{method} `{route}`", *statuses, f"`{text}`", f"`{other.headers['allow']}`"])
    return table(["Service", "Route", *INVALID_IDS, "Text", "`Allow` of a 405"], rows)


def methods(services: Services) -> str:
    rows = []
    for service, routes in PLAIN_ROUTES:
        allowed = set()
        for client in [services[name] for name in (NAMES if service == "all" else [service])]:
            for route in routes:
                response = client.patch(route)
                assert (response.status_code, error(response)) == (405, "method not allowed")
                assert client.options(route).headers["allow"] == response.headers["allow"]
                allowed.add(response.headers["allow"])
        (allow,) = allowed
        rows.append([service, ", ".join(f"`{route}`" for route in routes), f"`{allow}`"])
    return table(["Service", "Routes", "`Allow` of a 405, and of OPTIONS"], rows)


def other_errors(services: Services) -> str:
    productpage, ratings = services["productpage"], services["ratings"]
    form = "application/x-www-form-urlencoded"
    cases: list[tuple[str, Any]] = [
        ("any service: an unknown path", services["details"].get("/nowhere")),
        ("any service: an unhandled error", services["details with an unhandled error"].get("/details/0")),
        ("any service: `FAULT_ABORT_PERCENT`", services["ratings with a fault"].get("/ratings/0")),
        ("productpage: `POST /login` without a name", productpage.post("/login")),
        (
            "productpage: `POST /login` with more than 16 KiB",
            productpage.post("/login", content=b"x" * 16385, headers={"content-type": form}),
        ),
        (
            "productpage: `POST /login` from another site",
            productpage.post("/login?username=jason", headers={"sec-fetch-site": "cross-site"}),
        ),
        ("productpage: a backend that does not respond", productpage.get("/api/v1/products/0")),
        ("productpage: a backend that returns 503", productpage.get("/api/v1/products/0/reviews")),
        ("details v2: no book service", services["details v2"].get("/details/0")),
        ("ratings: an invalid `POST`", ratings.post("/ratings/0", content="{")),
        ("ratings: `POST` with more than 64 KiB", ratings.post("/ratings/0", content=b" " * 65537)),
        (
            "ratings: `POST` for one more than 1000 books",
            services["ratings with a full store"].post("/ratings/0", content="{}"),
        ),
        ("ratings v-faulty, v-unavailable, v-unhealthy", services["ratings v-faulty"].get("/ratings/0")),
    ]
    return table(["Case", "Status", "Text"], [[name, str(got.status_code), f"`{error(got)}`"] for name, got in cases])


@pytest.mark.parametrize("make", [invalid_ids, methods, other_errors], ids=lambda make: make.__name__)
def test_the_page_shows_the_responses_of_the_services(services: Services, make: Callable[[Services], str]) -> None:
    expected = make(services)
    start = PAGE.read_text().find(expected.splitlines()[0])
    assert PAGE.read_text()[max(start, 0) :].split("\n\n")[0].strip() == expected


def test_the_page_lists_every_route(services: Services) -> None:
    named = {(service, route.replace("{id}", "{product_id}")) for service, _, route in ID_ROUTES}
    for service, routes in PLAIN_ROUTES:
        for name in NAMES if service == "all" else [service]:
            named |= {(name, route) for route in routes}
    for name in NAMES:
        app = services[name].app
        assert isinstance(app, FastAPI)
        described = set(app.openapi()["paths"]) | {"/openapi.json", "/docs"}
        assert described <= {route for service, route in named if service == name}
        assert {route.path for route in app.routes if isinstance(route, Mount)} <= {"/static"}
