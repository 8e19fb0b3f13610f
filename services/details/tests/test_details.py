"""details v1: what it knows itself."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from bookinfo_details.app import create_app
from bookinfo_details.settings import Settings


@pytest.fixture
def details() -> Iterator[TestClient]:
    with TestClient(create_app(Settings.load())) as client:
        yield client


def test_the_details_of_book_0_are_178_bytes_in_the_originals_order(details: TestClient) -> None:
    answer = details.get("/details/0")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert len(answer.content) == 178
    assert answer.text == (
        '{"id":0,"author":"William Shakespeare","year":1595,"type":"paperback","pages":200,"publisher":"PublisherA",'
        '"language":"English","ISBN-10":"1234567890","ISBN-13":"123-1234567890"}'
    )


@pytest.mark.parametrize("number", [0, 1, 2, 3, 2147483647])
def test_every_book_has_the_same_details_under_its_own_id(details: TestClient, number: int) -> None:
    answer = details.get(f"/details/{number}").json()
    assert answer == details.get("/details/0").json() | {"id": number}


@pytest.mark.parametrize(
    "path", ["/details", "/details/", "/details/x", "/details/-1", "/details/" + "9" * 5000, "/details/0x10"]
)
def test_an_id_that_is_missing_or_no_number_is_400(details: TestClient, path: str) -> None:
    answer = details.get(path)
    assert (answer.status_code, answer.text) == (400, '{"error":"please provide numeric product id"}')


def test_health_is_the_originals(details: TestClient) -> None:
    assert details.get("/health").text == '{"status":"Details is healthy"}'


def test_v1_asks_nobody() -> None:
    assert Settings.load().uses_external_service is False


@pytest.mark.parametrize("path", ["/details/anything/0", "/health/anything", "/details/0/"])
def test_paths_are_exact_and_a_post_is_no_get(details: TestClient, path: str) -> None:
    assert details.get(path).status_code == 404
    assert details.post("/details/0").status_code == 405
