"""Errors are JSON and contain no internal details."""

import logging
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

Start = Callable[..., TestClient]

INVALID_IDS = ["x", "-1", "+1", "1.0", "1e3", "0x10", "1_000", "%20", "%D9%A1", "2147483648", "9" * 5000, "%00", "NaN"]


@pytest.mark.parametrize("bad", INVALID_IDS, ids=lambda bad: bad[:12])
def test_an_invalid_id_is_400(start: Start, bad: str) -> None:
    response = start().get(f"/things/{bad}")
    assert (response.status_code, response.json()) == (400, {"error": "please provide a number"})


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("2147483647", 2147483647)])
def test_an_id_of_decimal_digits_is_valid(start: Start, text: str, number: int) -> None:
    assert start().get(f"/things/{text}").json() == {"id": number}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_an_unknown_path_is_404_in_json(start: Start, method: str) -> None:
    response = start().request(method, "/nowhere")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert response.content == (b"" if method == "HEAD" else b'{"error":"not found"}')


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_an_unsupported_method_is_405_and_lists_the_methods_of_all_routes(start: Start, method: str) -> None:
    response = start().request(method, "/things/1")
    assert (response.status_code, response.json()) == (405, {"error": "method not allowed"})
    assert response.headers["allow"] == "GET, HEAD, POST, OPTIONS"


def test_options_lists_the_methods(start: Start) -> None:
    response = start().options("/unhandled-error")
    assert (response.status_code, response.headers["allow"], response.content) == (200, "GET, HEAD, OPTIONS", b"")


def test_head_returns_the_headers_of_get(start: Start) -> None:
    client = start()
    head, get = client.head("/things/1"), client.get("/things/1")
    assert (head.status_code, head.headers, head.content) == (200, get.headers, b"")


def test_a_body_beyond_the_limit_is_413(start: Start) -> None:
    client = start()
    assert client.post("/things/1", content=b"x" * 10).json() == {"id": 1, "size": 10}
    response = client.post("/things/1", content=b"x" * 11)
    assert (response.status_code, response.json()) == (413, {"error": "the body is larger than 10 bytes"})


def test_an_unhandled_error_is_a_500_without_details_and_one_logged_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        response = start().get("/unhandled-error")
    assert (response.status_code, response.json()) == (500, {"error": "internal server error"})
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in tracebacks] == ["unhandled error in GET /unhandled-error"]


def test_an_unhandled_error_during_the_response_is_raised(start: Start) -> None:
    with pytest.raises(RuntimeError, match="the second half is missing"):
        start().get("/incomplete")
