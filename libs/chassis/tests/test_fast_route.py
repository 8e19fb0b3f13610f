"""Fast routes change only the duration of a request."""

import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.testclient import TestClient

from bookinfo_chassis.app import create_service
from bookinfo_chassis.errors import NumericId
from bookinfo_chassis.fastpath.fast_route import FastRoute
from bookinfo_chassis.settings import ServiceSettings

router = APIRouter()


@router.get("/page")
async def page(request: Request) -> Response:
    return JSONResponse({"query": request.url.query, "agent": request.headers.get("user-agent")})


@router.get("/things/{thing_id}")
async def thing(request: Request, thing_id: NumericId) -> Response:
    return JSONResponse({"id": thing_id, "params": request.path_params, "query": request.url.query})


@router.post("/things/{thing_id}")
async def change(thing_id: NumericId) -> Response:
    return JSONResponse({"changed": thing_id})


@router.get("/broken/{thing_id}")
async def broken(request: Request, thing_id: NumericId) -> Response:
    raise RuntimeError(f"{request.method} {thing_id}")


FAST = ["/page", "/things/{thing_id}", "/broken/{thing_id}"]


def start(fast_routes: list[str]) -> TestClient:
    app = create_service(
        "chassis", ServiceSettings(), [router], description="", validation_error="no number", fast_routes=fast_routes
    )
    return TestClient(app)


@pytest.fixture(scope="module")
def fast() -> TestClient:
    return start(FAST)


@pytest.fixture(scope="module")
def standard() -> TestClient:
    return start([])


IDS = [
    "0",
    "7",
    "007",
    "2147483647",
    "2147483648",
    "00000000001",
    "9" * 5000,
    "-1",
    "+1",
    "1_0",
    "1.0",
    "²",
    "٣",
    "",
    "%20",
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/things/{thing_id}") for thing_id in IDS),
        ("GET", "/things/7?a=b"),
        ("GET", "/things/%37"),
        ("GET", "/things/7/"),
        ("GET", "/things/7/8"),
        ("GET", "/things"),
        ("GET", "/page"),
        ("GET", "/page?a=b"),
        ("GET", "/page/"),
        ("GET", "/pages"),
        ("GET", "/broken/1"),
        ("HEAD", "/things/7"),
        ("HEAD", "/page"),
        ("POST", "/things/7"),
        ("POST", "/page"),
        ("DELETE", "/things/7"),
        ("OPTIONS", "/things/7"),
    ],
)
def test_the_response_is_the_same_without_fast_routes(
    fast: TestClient, standard: TestClient, method: str, path: str
) -> None:
    found, expected = fast.request(method, path), standard.request(method, path)
    assert (found.status_code, found.text) == (expected.status_code, expected.text)
    assert sorted(found.headers.items()) == sorted(expected.headers.items())


def test_the_api_description_is_the_same_without_fast_routes(fast: TestClient, standard: TestClient) -> None:
    assert fast.get("/openapi.json").text == standard.get("/openapi.json").text


def test_requests_on_a_fast_route_are_counted_by_template() -> None:
    client = start(FAST)
    client.get("/things/7")
    client.get("/things/8")
    assert (
        'http_requests_total{method="GET",route="/things/{thing_id}",status="200"} 2.0' in client.get("/metrics").text
    )


@pytest.mark.parametrize(("path", "taken"), [("/things/7", True), ("/things/x", False), ("/page", True)])
def test_only_a_certainly_valid_request_takes_the_fast_route(path: str, taken: bool) -> None:
    ways = [
        FastRoute(route)
        for route in router.routes
        if isinstance(route, APIRoute) and route.path in FAST and "GET" in route.methods
    ]
    scope = {"type": "http", "method": "GET", "path": path}
    assert any(way.matches(scope)[0] is Match.FULL for way in ways) is taken


@pytest.mark.parametrize("path", ["/things/{thing_id}", "/other/{name}"])
def test_a_handler_with_other_parameters_is_rejected(path: str) -> None:
    other = APIRouter()

    @other.post("/things/{thing_id}")
    async def change(request: Request, thing_id: NumericId) -> None: ...

    @other.get("/other/{name}")
    async def named(request: Request, name: str) -> None: ...

    route = next(route for route in other.routes if isinstance(route, APIRoute) and route.path == path)
    with pytest.raises(TypeError, match="cannot have a fast route"):
        FastRoute(route)
