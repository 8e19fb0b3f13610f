"""The minimal client parses the responses of uvicorn."""

import pytest
from benchmarks.wire import Response, get_request, parse

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 3"


def test_a_complete_response_is_parsed() -> None:
    assert parse(HEAD + b"\r\n\r\nabc") == Response(200, HEAD, b"abc")


@pytest.mark.parametrize("length", range(len(HEAD) + 7))
def test_an_incomplete_response_is_none(length: int) -> None:
    assert parse((HEAD + b"\r\n\r\nabc")[:length]) is None


def test_a_response_without_a_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="content-length"):
        parse(b"HTTP/1.1 200 OK\r\n\r\n")


def test_a_request_is_a_get_with_its_headers() -> None:
    assert get_request("h", "/x", "a: b\r\n") == b"GET /x HTTP/1.1\r\nhost: h\r\na: b\r\n\r\n"
