"""details v2: the details of an external book service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.settings import InvalidSettingsError
from bookinfo_details.app import create_app
from bookinfo_details.settings import Settings

VOLUME: dict[str, Any] = {
    "authors": ["William Shakespeare", "Somebody Else"],
    "publishedDate": "2002-03-01",
    "printType": "BOOK",
    "pageCount": 64,
    "publisher": "A Publisher",
    "language": "en",
    "industryIdentifiers": [
        {"type": "ISBN_13", "identifier": "9780486424613"},
        {"type": "ISBN_10", "identifier": "0486424618"},
    ],
}

Handler = Callable[[httpx.Request], httpx.Response]


def volumes(**changes: Any) -> httpx.Response:
    return httpx.Response(200, json={"items": [{"volumeInfo": VOLUME | changes}]})


def get(handler: Handler, path: str = "/details/5", headers: dict[str, str] | None = None, **settings: Any) -> Any:
    settings = {"version": "v2"} | settings
    with TestClient(create_app(Settings.load(**settings), httpx.MockTransport(handler))) as client:
        return client.get(path, headers=headers)


def test_v2_returns_the_external_details_in_the_format_of_v1() -> None:
    response = get(lambda _: volumes())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert json.dumps(response.json()) == json.dumps(
        {
            "id": 5,
            "author": "William Shakespeare",
            "year": "2002-03-01",
            "type": "paperback",
            "pages": 64,
            "publisher": "A Publisher",
            "language": "English",
            "ISBN-10": "0486424618",
            "ISBN-13": "9780486424613",
        }
    )


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"printType": "MAGAZINE"}, "type", "unknown"),
        ({"language": "fr"}, "language", "unknown"),
        ({"industryIdentifiers": []}, "ISBN-10", "unknown"),
    ],
)
def test_an_untranslatable_field_is_unknown(changes: dict[str, Any], key: str, value: str) -> None:
    assert get(lambda _: volumes(**changes)).json()[key] == value


def test_one_edition_is_requested_over_tls() -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return volumes()

    get(handler)
    assert [str(request.url) for request in requests] == [
        "https://www.googleapis.com/books/v1/volumes?q=isbn:0486424618"
    ]


def test_do_not_encrypt_selects_http_on_port_80() -> None:
    assert Settings.load(version="v2", do_not_encrypt="true").external_books_url == "http://www.googleapis.com:80"


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("books.example", None, "https://books.example:443"),
        ("books.example", 8443, "https://books.example:8443"),
        ("::1", 8443, "https://[::1]:8443"),
    ],
)
def test_host_and_port_are_settings(host: str, port: int | None, url: str) -> None:
    assert Settings.load(external_books_host=host, external_books_port=port).external_books_url == url


@pytest.mark.parametrize(
    ("settings", "external"),
    [
        ({"version": "v1"}, False),
        ({"version": "v2"}, True),
        ({"version": "v1", "enable_external_book_service": "true"}, True),
        ({"version": "v2", "enable_external_book_service": "false"}, False),
    ],
)
def test_v2_calls_the_external_service_unless_overridden(settings: dict[str, str], external: bool) -> None:
    assert Settings.load(**settings).uses_external_service is external


def test_no_header_of_the_mesh_is_sent_to_the_external_service() -> None:
    sent: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.extend(request.headers)
        return volumes()

    inside = ["cookie", "authorization", "jwt", "end-user", "traceparent", "b3", "x-request-id", "user-agent"]
    get(handler, headers=dict.fromkeys(inside, "secret"))
    assert sorted(sent) == ["accept", "host"]


def times_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("slow", request=request)


def refuses_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    ("handler", "status", "text"),
    [
        (times_out, 504, "the external book service did not respond in time"),
        (refuses_connection, 502, "the external book service cannot be reached"),
        (lambda _: httpx.Response(429), 502, "the external book service returned 429"),
        (lambda _: httpx.Response(302, headers={"location": "/"}), 502, "the external book service returned 302"),
        (lambda _: httpx.Response(200, text="<html>"), 502, "the external book service sent an invalid response"),
        (
            lambda _: httpx.Response(200, json={"totalItems": 0}),
            502,
            "the external book service sent an invalid response",
        ),
        (lambda _: volumes(authors=[]), 502, "the external book service sent an invalid response"),
        (lambda _: volumes(pageCount=None), 502, "the external book service sent an invalid response"),
    ],
)
def test_a_failure_of_the_external_service_is_502_or_504(handler: Handler, status: int, text: str) -> None:
    response = get(handler)
    assert (response.status_code, response.json()) == (status, {"error": text})


def test_an_invalid_id_is_rejected_without_a_call() -> None:
    assert get(refuses_connection, "/details/x").status_code == 400


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_without_certificates_is_rejected(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidSettingsError, match="cannot read certificates from it"):
        Settings.load(external_books_ca_file=path)
