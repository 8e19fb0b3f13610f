"""details v2: what an external book service says."""

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


def ask(handler: Handler, path: str = "/details/5", headers: dict[str, str] | None = None, **settings: Any) -> Any:
    settings = {"version": "v2"} | settings
    with TestClient(create_app(Settings.load(**settings), httpx.MockTransport(handler))) as client:
        return client.get(path, headers=headers)


def test_the_answer_has_v1s_shape_with_the_external_services_facts() -> None:
    answer = ask(lambda _: volumes())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert json.dumps(answer.json()) == json.dumps(
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
def test_what_cannot_be_translated_is_unknown(changes: dict[str, Any], key: str, value: str) -> None:
    assert ask(lambda _: volumes(**changes)).json()[key] == value


def test_one_edition_is_looked_up_over_tls() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return volumes()

    ask(handler)
    assert [str(request.url) for request in asked] == ["https://www.googleapis.com/books/v1/volumes?q=isbn:0486424618"]


def test_do_not_encrypt_asks_in_plain_http_on_port_80() -> None:
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
def test_v2_asks_outside_and_the_originals_switch_overrides(settings: dict[str, str], external: bool) -> None:
    assert Settings.load(**settings).uses_external_service is external


def test_neither_credentials_nor_trace_nor_user_go_outside() -> None:
    sent: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.extend(request.headers)
        return volumes()

    inside = ["cookie", "authorization", "jwt", "end-user", "traceparent", "b3", "x-request-id", "user-agent"]
    ask(handler, headers=dict.fromkeys(inside, "secret"))
    assert sorted(sent) == ["accept", "host"]


def times_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("slow", request=request)


def refuses(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    ("handler", "status", "text"),
    [
        (times_out, 504, "the external book service did not respond in time"),
        (refuses, 502, "the external book service cannot be reached"),
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
def test_a_failure_outside_is_a_gateways_error_and_not_the_callers(handler: Handler, status: int, text: str) -> None:
    answer = ask(handler)
    assert (answer.status_code, answer.json()) == (status, {"error": text})


def test_a_bad_id_is_refused_without_asking() -> None:
    assert ask(refuses, "/details/x").status_code == 400


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_without_certificates_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidSettingsError, match="cannot read certificates from it"):
        Settings.load(external_books_ca_file=path)
