"""Steady traffic, and how it is told what comes back."""

import asyncio
import re
import socket

import pytest
from typer.testing import CliRunner

from bookinfo_lab.cli.main import app
from bookinfo_lab.client import load
from bookinfo_lab.client.load import Answer, Tally
from bookinfo_lab.errors import LabError

PAGE = "<p>Reviews served by reviews-v3-6d8c4f7b9c-x2x7q</p>"


def plain(output: str) -> str:
    """Without the colours that some environments ask for."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


def tally(*answers: tuple[str, str, float]) -> Tally:
    """Of answers with an outcome, a version and a time, each of which took 100 ms."""
    made = Tally()
    for outcome, version, at in answers:
        made.add(Answer(outcome, version, 0.1, at))
    return made


def test_what_a_change_has_ended_is_not_among_the_last_seconds() -> None:
    told = tally(("200", "v1", 10.0), ("200", "v1", 11.0), ("200", "v2", 19.0), ("500", "v1", 20.0))

    now = {(row.outcome, row.version): (row.recent, row.share, row.total) for row in told.rows(20.0)}

    assert now == {("200", "v1"): (0, 0, 2), ("200", "v2"): (1, 50, 1), ("500", "v1"): (1, 50, 1)}
    assert told.line(20.0) == (
        "4 answers, and of the last 5 s: 200 v2: 1 (50 %), p50 100 ms, p99 100 ms; "
        "500 v1: 1 (50 %), p50 100 ms, p99 100 ms"
    )


def test_at_the_end_all_of_it_is_told() -> None:
    told = tally(("200", "v1", 1.0), ("200", "v1", 2.0), ("200", "v2", 30.0))
    told.rows(30.0)
    assert told.summary() == (
        "3 answers; 200 v1: 2 (67 %), p50 100 ms, p99 100 ms; 200 v2: 1 (33 %), p50 100 ms, p99 100 ms"
    )


def test_a_moment_without_answers_is_told_as_one() -> None:
    assert tally(("200", "v1", 1.0)).line(30.0) == "1 answers, and of the last 5 s: none"


def test_slow_answers_do_not_hold_up_the_pace() -> None:
    """No answer comes before all requests have: more of them than httpx has connections by default."""
    count, told = 150, Tally()

    async def exchange() -> None:
        everybody = asyncio.Barrier(count)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await everybody.wait()
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(PAGE)}\r\nconnection: close\r\n\r\n"
            writer.write((head + PAGE).encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, backlog=count) as server:
            url = load.page_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/productpage")
            async for _ in load.run(told, url, 1000, (count - 0.5) / 1000, []):
                pass

    asyncio.run(asyncio.wait_for(exchange(), 25))

    assert told.summary().startswith("150 answers; 200 reviews v3: 150 (100 %), ")


@pytest.mark.parametrize("text", ["nonsense", "", "ftp://a/b", "http://", "http://[::1", "localhost:8080/productpage"])
def test_a_url_that_is_none_is_told_before_anything_is_sent(text: str) -> None:
    with pytest.raises(LabError, match="write it like http://localhost:8080/productpage"):
        load.page_url(text)


@pytest.mark.parametrize("option", ["--duration=-5", "--duration=0", "--duration=nan", "--rps=nan", "--rps=0"])
def test_what_no_pace_can_be_is_refused(option: str) -> None:
    result = CliRunner().invoke(app, ["load", option, "--url=http://localhost:1/"])
    assert result.exit_code == 2
    assert f"Invalid value for '{option.partition('=')[0]}'" in plain(result.output)


def test_traffic_that_nothing_answers_has_failed() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/productpage"
        result = CliRunner().invoke(app, ["load", "--rps=20", "--duration=0.2", f"--url={url}"])

    assert isinstance(result.exception, LabError)
    assert str(result.exception).startswith(f"{url} did not respond; ")
    assert "4 answers; ConnectError no page: 4 (100 %)" in plain(result.output)
