"""The external book service: the volumes API for one book."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from bookinfo_books.app import create_app
from bookinfo_books.settings import Settings
from bookinfo_chassis.settings import InvalidSettingsError


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings.load())) as client:
        yield client


def test_finds_the_book_by_its_isbn(client: TestClient) -> None:
    answer = client.get("/books/v1/volumes?q=isbn:0486424618").json()
    assert answer["totalItems"] == 1
    assert answer["items"][0]["volumeInfo"]["authors"] == ["William Shakespeare"]


def test_finds_no_other_book(client: TestClient) -> None:
    answer = client.get("/books/v1/volumes?q=isbn:0000000000")
    assert answer.json() == {"kind": "books#volumes", "totalItems": 0}


def test_wants_a_query(client: TestClient) -> None:
    assert client.get("/books/v1/volumes").status_code == 400


def test_is_healthy(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "Books is healthy"}


@pytest.mark.parametrize("given", [{"tls_certificate": "PEM"}, {"tls_key": "PEM"}])
def test_wants_a_certificate_with_its_key(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingsError, match=r"^TLS_KEY: it and TLS_CERTIFICATE belong together"):
        Settings.load(**given)
