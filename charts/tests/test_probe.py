"""The program that `helm test` runs in its pods, against real listeners."""

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from charts.tests.rendering import CHART, Helm, named

from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.runtime import ca

PROBE = CHART / "files/probe.py"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Answer = Callable[[socket.socket], None]


def replying(text: bytes, seen: list[bytes] | None = None) -> Answer:
    def answer(connection: socket.socket) -> None:
        request = connection.recv(65536)
        if seen is not None:
            seen.append(request)
        connection.sendall(text)

    return answer


def breaking_off(connection: socket.socket) -> None:
    """As a sidecar does with a caller that is not in the mesh."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.fixture
def listen() -> Iterator[Callable[..., int]]:
    """Starts a server on a free loopback port, each connection answered by the next of `answers`, the last for good."""
    servers: list[socket.socket] = []

    def start(*answers: Answer) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            for index in range(1000):
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with closing(connection):
                    try:
                        answers[min(index, len(answers) - 1)](connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def probe(seconds: float, expected: str, *urls: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The program as a pod runs it."""
    command = [sys.executable, "-c", PROBE.read_text(), str(seconds), expected, *urls]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **env})


def test_an_answered_request_is_served(listen: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listen(replying(OK))}/productpage"
    done = probe(5, "served", url)
    assert (done.returncode, done.stdout) == (0, f"ok: {url}: 200\n")


def test_an_answer_is_asked_for_again_until_it_holds_what_is_wanted(listen: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listen(replying(OK.replace(b'ok', b'no')), replying(OK))}/#ok"
    assert probe(20, "served", url).returncode == 0


def test_an_answer_without_what_is_wanted_is_a_failure(listen: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listen(replying(OK))}/reviews/0#stars"
    done = probe(0, "served", url)
    assert (done.returncode, done.stdout) == (1, f"FAILED: {url}: 200 without stars\n")


STARS = "http://reviews:9080/reviews/0#stars"


def reviews(**versions: Any) -> dict[str, Any]:
    return {"services": {"reviews": {"versions": versions}}}


MESH = {"mesh": {"mode": "sidecar"}, "destinationRules": {"enabled": True}, "virtualServices": {"enabled": True}}


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ({}, True),
        (reviews(v2=None), True),
        (reviews(v2=None, v3=None), False),
        ({"services": {"ratings": None}}, False),
        (reviews(v2={"env": {"ENABLE_RATINGS": "false"}}, v3=None), False),
        (MESH | reviews(v1={"weight": 90}, v2={"weight": 10}), True),
        (MESH | reviews(v1={"weight": 99}, v2={"weight": 1}), False),
        (MESH | {"canary": {"managed": True}}, False),
    ],
    ids=str,
)
def test_reviews_must_show_stars_where_calls_come_to_a_version_that_asks_ratings(
    helm: Helm, values: dict[str, Any], asked: bool
) -> None:
    (container,) = named(helm.render(values), "Pod", "bookinfo-test-edges")["spec"]["containers"]
    assert (STARS in container["args"]) is asked


def test_a_service_that_is_not_there_yet_is_asked_again(listen: Callable[..., int]) -> None:
    done = probe(20, "served", f"http://127.0.0.1:{listen(breaking_off, replying(FORBIDDEN), replying(OK))}/")
    assert (done.returncode, done.stdout[:2]) == (0, "ok")


def test_a_refused_caller_is_not_served(listen: Callable[..., int]) -> None:
    done = probe(0, "served", f"http://127.0.0.1:{listen(replying(FORBIDDEN))}/")
    assert done.returncode == 1
    assert re.fullmatch(r"FAILED: http://\S+: 403\n", done.stdout)


@pytest.mark.parametrize("answer", [breaking_off, replying(FORBIDDEN)], ids=["broken off", "403"])
def test_a_broken_connection_and_a_403_are_refusals(listen: Callable[..., int], answer: Answer) -> None:
    assert probe(0, "refused", f"http://127.0.0.1:{listen(answer)}/").returncode == 0


def test_a_served_stranger_is_a_failure(listen: Callable[..., int]) -> None:
    done = probe(0, "refused", f"http://127.0.0.1:{listen(replying(OK))}/")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://no-such-service.invalid/"], ids=["closed", "no name"])
def test_nobody_there_is_neither_served_nor_refused(url: str) -> None:
    assert probe(0, "served", url).returncode == 1
    assert probe(0, "refused", url).returncode == 1


def test_the_first_disappointment_ends_the_test(listen: Callable[..., int]) -> None:
    good, bad = listen(replying(OK)), listen(replying(FORBIDDEN))
    done = probe(0, "served", *(f"http://127.0.0.1:{port}/" for port in (good, bad, good)))
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ok", "FAILED"]


def test_a_gateway_is_asked_for_the_host_that_it_serves(listen: Callable[..., int]) -> None:
    seen: list[bytes] = []
    port = listen(replying(OK, seen))
    assert probe(5, "served", "http://shop.example/productpage", CONNECT_TO=f"127.0.0.1:{port}").returncode == 0
    assert seen[0].startswith(b"GET /productpage HTTP/1.1\r\nHost: shop.example\r\n")


def test_a_gateway_with_a_certificate_is_asked_under_its_name(listen: Callable[..., int], tmp_path: Path) -> None:
    ca.issue(ca.create_authority("shop.example"), "spiffe://shop.example/gateway", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / proxy_directory.CERTIFICATE, tmp_path / proxy_directory.PRIVATE_KEY)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def encrypted(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            replying(OK)(secured)

    url = "https://shop.example/productpage"
    assert probe(5, "served", url, CONNECT_TO=f"127.0.0.1:{listen(encrypted)}").returncode == 0
    assert names == ["shop.example"]


def test_the_pod_s_command_works_on_a_real_service(helm: Helm, tmp_path: Path) -> None:
    """The very arguments of the rendered pod, but that its name for details leads to a process here."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    service = subprocess.Popen(
        [sys.executable, "-m", "bookinfo_details"],
        env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "DRAIN_SECONDS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (container,) = named(helm.render(), "Pod", "bookinfo-test-edges")["spec"]["containers"]
        arguments = [argument for argument in container["args"] if not argument.startswith("http://")]
        (url,) = [argument for argument in container["args"] if argument.startswith("http://details:")]
        assert container["command"] == ["python", "-c"]
        done = subprocess.run(
            [sys.executable, "-c", *arguments, url],
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "CONNECT_TO": f"127.0.0.1:{port}"},
        )
        assert (done.returncode, done.stdout) == (0, f"ok: {url}: 200\n")
    finally:
        service.terminate()
        service.wait(timeout=20)
