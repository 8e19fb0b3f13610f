"""The small HTTP client."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bookinfo_lab.client import http
from bookinfo_lab.client.http import Response


def answered(folder: Path, answer: bytes, ask: Callable[[Path], object]) -> tuple[object, bytes]:
    """What `ask` gets from a server that answers so, and what the server was sent."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async def run() -> object:
        server = await asyncio.start_unix_server(serve, folder / "s.sock")
        async with server:
            return await ask(folder / "s.sock")  # type: ignore[misc]

    return asyncio.run(run()), bytes(received)


def test_an_answer_is_read_whole_chunked_or_not(tmp_path: Path) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    plain = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"
    assert answered(tmp_path, chunked, lambda socket: http.request(socket, "/x"))[0] == Response(200, b"abcde")
    (tmp_path / "s.sock").unlink(missing_ok=True)
    assert answered(tmp_path, plain, lambda socket: http.request(socket, "/x"))[0] == Response(404, b"no")


def test_the_request_is_for_one_answer(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    _, sent = answered(tmp_path, answer, lambda socket: http.request(socket, "/x", method="POST", body=b"hi"))
    assert sent.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Connection: close\r\n" in sent
    assert b"Content-Length: 2\r\n" in sent


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b"garbage\r\n\r\n"])
def test_an_answer_that_is_cut_off_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        answered(tmp_path, answer, lambda socket: http.request(socket, "/x"))


def test_a_socket_with_a_long_path_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def run() -> Response:
        async with await asyncio.start_unix_server(serve, "s.sock"):
            return await http.request(folder / "s.sock", "/")

    monkeypatch.chdir(folder)
    assert asyncio.run(run()).status == 200


def test_nobody_there_is_an_oserror_and_silence_a_timeout(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        with pytest.raises(OSError):  # noqa: PT011 - the kernel's own words
            await http.request(tmp_path / "none.sock", "/")
        async with await asyncio.start_unix_server(silent, tmp_path / "s.sock"):
            with pytest.raises(TimeoutError):
                await http.request(tmp_path / "s.sock", "/", within=0.05)
            await asyncio.sleep(0.05)  # for the server's side to end

    asyncio.run(run())
