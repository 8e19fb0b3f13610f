"""Logs: one line per event, with the ids of the request and the trace."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.logs import ConsoleFormatter, ContextFilter, JsonFormatter, configure_logging
from bookinfo_chassis.settings import ServiceSettings

Start = Callable[..., TestClient]
Lines = Callable[[], list[dict[str, Any]]]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return the JSON lines that have been logged."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(ContextFilter("chassis", "v1"))
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [
        line for line in map(json.loads, stream.getvalue().splitlines()) if line["logger"].startswith("bookinfo")
    ]
    root.removeHandler(handler)
    root.setLevel(level)


def test_an_unhandled_error_is_logged_as_one_line_with_all_ids(start: Start, lines: Lines) -> None:
    start().get("/unhandled-error", headers={"x-request-id": "r-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    (line,) = lines()
    assert line.pop("exception").endswith("RuntimeError: an internal detail")
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "error",
        "logger": "bookinfo_chassis.errors",
        "message": "unhandled error in GET /unhandled-error",
        "service": "chassis",
        "version": "v1",
        "request_id": "r-1",
        "trace_id": TRACE,
        "span_id": "00f067aa0ba902b7",
    }


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"b3": f"{TRACE}-00f067aa0ba902b7-1"}, TRACE),
        ({"x-b3-traceid": TRACE[:16], "x-b3-spanid": "00f067aa0ba902b7"}, TRACE[:16]),
        ({"traceparent": "nonsense"}, None),
        ({"b3": "0"}, None),
        ({}, None),
    ],
)
def test_the_trace_id_comes_from_w3c_or_b3(
    start: Start, lines: Lines, headers: dict[str, str], trace: str | None
) -> None:
    start().get("/unhandled-error", headers=headers)
    assert lines()[0].get("trace_id") == trace


def test_requests_are_not_logged_by_default(start: Start, lines: Lines) -> None:
    start().get("/things/1")
    assert lines() == []


def test_a_share_of_the_requests_is_logged(start: Start, lines: Lines) -> None:
    client = start(access_log=0.5)
    for _ in range(200):
        client.get("/things/1")
    assert 50 <= len(lines()) <= 150


def test_a_logged_request_has_method_path_status_and_duration(start: Start, lines: Lines) -> None:
    start(access_log=1).get("/things/%41")
    (line,) = lines()
    assert line["logger"] == "bookinfo.access"
    assert line["message"].startswith("GET /things/%41 400 ")
    assert line["message"].endswith(" ms")


def test_probes_are_not_logged(start: Start, lines: Lines) -> None:
    start(access_log=1).get("/livez")
    assert lines() == []


def test_a_line_break_in_a_message_is_escaped(lines: Lines) -> None:
    logging.getLogger("bookinfo").warning("two\nlines")
    assert lines()[0]["message"] == "two\nlines"


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_restored")
@pytest.mark.parametrize(
    ("log_format", "formatter"), [("json", JsonFormatter), ("console", ConsoleFormatter), ("auto", JsonFormatter)]
)
def test_the_log_format_follows_the_setting(
    capsys: pytest.CaptureFixture[str], log_format: str, formatter: type[logging.Formatter]
) -> None:
    configure_logging("chassis", ServiceSettings.load(log_format=log_format, log_level="warning"))
    logging.getLogger("bookinfo").info("hidden")
    logging.getLogger("bookinfo").warning("shown")
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    assert isinstance(logging.getLogger().handlers[0].formatter, formatter)
    assert out.startswith("{") == (formatter is JsonFormatter)


def test_console_lines_end_with_the_trace_id() -> None:
    record = logging.makeLogRecord({"msg": "hello", "levelname": "INFO", "trace_id": TRACE})
    assert ConsoleFormatter("%(message)s").format(record) == f"hello  trace={TRACE}"
    assert ConsoleFormatter("%(message)s").format(logging.makeLogRecord({"msg": "hello"})) == "hello"
