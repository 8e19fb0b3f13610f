"""Every error is answered in JSON, and tells the caller nothing of the inside."""

import logging
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

Start = Callable[..., TestClient]

BAD_IDS = ["x", "-1", "+1", "1.0", "1e3", "0x10", "1_000", "%20", "%D9%A1", "2147483648", "9" * 5000, "%00", "NaN"]


@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: bad[:12])
def test_an_id_that_is_no_number_from_0_to_2147483647_is_400_with_the_documented_text(start: Start, bad: str) -> None:
    answer = start().get(f"/things/{bad}")
    assert (answer.status_code, answer.json()) == (400, {"error": "please provide a number"})


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("2147483647", 2147483647)])
def test_an_id_of_decimal_digits_is_a_number(start: Start, text: str, number: int) -> None:
    assert start().get(f"/things/{text}").json() == {"id": number}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_an_unknown_path_is_404_in_json(start: Start, method: str) -> None:
    answer = start().request(method, "/nowhere")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.content == (b"" if method == "HEAD" else b'{"error":"not found"}')


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_a_method_that_no_route_takes_is_405_naming_those_that_all_of_them_take(start: Start, method: str) -> None:
    answer = start().request(method, "/things/1")
    assert (answer.status_code, answer.json()) == (405, {"error": "method not allowed"})
    assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"


def test_options_names_the_methods(start: Start) -> None:
    answer = start().options("/crash")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (200, "GET, HEAD, OPTIONS", b"")


def test_head_is_a_get_without_its_body(start: Start) -> None:
    client = start()
    head, get = client.head("/things/1"), client.get("/things/1")
    assert (head.status_code, head.headers, head.content) == (200, get.headers, b"")


def test_a_body_beyond_the_limit_is_413(start: Start) -> None:
    client = start()
    assert client.post("/things/1", content=b"x" * 10).json() == {"id": 1, "size": 10}
    answer = client.post("/things/1", content=b"x" * 11)
    assert (answer.status_code, answer.json()) == (413, {"error": "the body is larger than 10 bytes"})


def test_a_crash_is_a_500_that_says_nothing_and_one_traceback_with_the_requests_ids(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = start().get("/crash")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal server error"})
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in tracebacks] == ["unhandled error in GET /crash"]


def test_a_crash_after_the_answer_began_breaks_it_off(start: Start) -> None:
    with pytest.raises(RuntimeError, match="the other half is lost"):
        start().get("/break-off")
