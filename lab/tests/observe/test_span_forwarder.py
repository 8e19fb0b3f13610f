"""Spans go on to a collector of the user's."""

import asyncio
import re
import time
from collections.abc import Callable

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe.span_forwarder import Onward, endpoint, headers


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, "http://localhost:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318/"}, "http://localhost:4318/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/traces"},
            "http://b/traces",
        ),
    ],
)
def test_the_standard_variables_say_where_to(environ: dict[str, str], url: str | None) -> None:
    assert endpoint(environ) == url


@pytest.mark.parametrize(
    "text",
    [
        "localhost:4318",
        "http://localhost:99999",
        "http://jaeger:http",
        "http://[::1",
        "http://my jaeger",
        "http://a..b",
    ],
)
def test_what_is_no_url_is_refused_by_the_variables_name(text: str) -> None:
    with pytest.raises(LabError, match=f"OTEL_EXPORTER_OTLP_ENDPOINT: {re.escape(repr(text))} is no URL"):
        endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": text})


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b==, team = books,"}, {"x-key": "a b==", "team": "books"}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2"}, {"b": "2"}),
    ],
)
def test_headers_for_the_collector_are_those_of_the_standard_variables(
    environ: dict[str, str], sent: dict[str, str]
) -> None:
    assert headers(environ) == sent


@pytest.mark.parametrize("text", ["authorization: Bearer s3cret", "a=1,=s3cret", "a=s3cret%0D%0Ab: 1"])
def test_what_is_no_header_is_refused_and_not_told(text: str) -> None:
    with pytest.raises(LabError, match="OTEL_EXPORTER_OTLP_HEADERS is no list") as refused:
        headers({"OTEL_EXPORTER_OTLP_HEADERS": text})
    assert "s3cret" not in str(refused.value)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_a_collector_that_is_away_is_told_of_once_and_once_more_when_it_is_back() -> None:
    said: list[str] = []
    taken: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        taken.append(head + await reader.readexactly(4))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        onward = Onward(f"http://127.0.0.1:{port}/v1/traces", said.append, {"x-key": "k3y"})
        running = asyncio.create_task(onward.run())
        onward.take(b"lost", {})
        onward.take(b"lost", {})
        await until(lambda: bool(said))
        async with await asyncio.start_server(answer, "127.0.0.1", port):
            while not taken:
                onward.take(b"sent", {"content-type": "application/x-protobuf"})
                await asyncio.sleep(0.05)
            await until(lambda: len(said) == 2)
        running.cancel()

    asyncio.run(run())
    assert ["do not reach" in line for line in said] == [True, False]
    assert taken[0].startswith(b"POST /v1/traces HTTP/1.1\r\n")
    assert b"content-type: application/x-protobuf" in taken[0].lower()
    assert b"x-key: k3y" in taken[0].lower()


def test_what_waits_for_a_slow_collector_is_bounded() -> None:
    async def run() -> None:
        onward = Onward("http://127.0.0.1:9/v1/traces", lambda _: None)
        for _ in range(1000):
            onward.take(b"", {})
        assert onward.waiting <= 200

    asyncio.run(run())
