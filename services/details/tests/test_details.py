"""details v1: the built-in details."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from bookinfo_details.app import create_app
from bookinfo_details.settings import Settings


@pytest.fixture
def details() -> Iterator[TestClient]:
    with TestClient(create_app(Settings.load())) as client:
        yield client


def test_details_are_178_bytes_in_the_original_order(details: TestClient) -> None:
    response = details.get("/details/0")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert len(response.content) == 178
    assert response.text == (
        '{"id":0,"author":"William Shakespeare","year":1595,"type":"paperback","pages":200,"publisher":"PublisherA",'
        '"language":"English","ISBN-10":"1234567890","ISBN-13":"123-1234567890"}'
    )


@pytest.mark.parametrize("number", [0, 1, 2, 3, 2147483647])
def test_all_books_have_the_same_details(details: TestClient, number: int) -> None:
    response = details.get(f"/details/{number}").json()
    assert response == details.get("/details/0").json() | {"id": number}


@pytest.mark.parametrize(
    "path", ["/details", "/details/", "/details/x", "/details/-1", "/details/" + "9" * 5000, "/details/0x10"]
)
def test_a_missing_or_invalid_id_is_400(details: TestClient, path: str) -> None:
    response = details.get(path)
    assert (response.status_code, response.text) == (400, '{"error":"please provide numeric product id"}')


def test_health_is_the_same_as_in_the_original(details: TestClient) -> None:
    assert details.get("/health").text == '{"status":"Details is healthy"}'


def test_v1_calls_no_service() -> None:
    assert Settings.load().uses_external_service is False


@pytest.mark.parametrize("path", ["/details/anything/0", "/health/anything", "/details/0/"])
def test_other_paths_are_404_and_post_is_405(details: TestClient, path: str) -> None:
    assert details.get(path).status_code == 404
    assert details.post("/details/0").status_code == 405
