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


def test_book_is_found_by_its_isbn(client: TestClient) -> None:
    response = client.get("/books/v1/volumes?q=isbn:0486424618").json()
    assert response["totalItems"] == 1
    assert response["items"][0]["volumeInfo"]["authors"] == ["William Shakespeare"]


def test_unknown_isbn_returns_no_items(client: TestClient) -> None:
    response = client.get("/books/v1/volumes?q=isbn:0000000000")
    assert response.json() == {"kind": "books#volumes", "totalItems": 0}


def test_missing_query_returns_400(client: TestClient) -> None:
    assert client.get("/books/v1/volumes").status_code == 400


def test_health_returns_200(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "Books is healthy"}


@pytest.mark.parametrize("settings", [{"tls_certificate": "PEM"}, {"tls_key": "PEM"}])
def test_certificate_and_key_must_be_set_together(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingsError, match=r"^TLS_KEY: must be set together with TLS_CERTIFICATE"):
        Settings.load(**settings)
