"""The program that `helm test` runs in its pods, with real listeners."""

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
from charts.tests.rendering import Helm, named, run_probe

from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.runtime import ca

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Handler = Callable[[socket.socket], None]


def respond(response: bytes, requests: list[bytes] | None = None) -> Handler:
    """Return a handler that records the request and sends `response`."""

    def handle(connection: socket.socket) -> None:
        request = connection.recv(65536)
        if requests is not None:
            requests.append(request)
        connection.sendall(response)

    return handle


def reset(connection: socket.socket) -> None:
    """Reset the connection, like a sidecar does if the caller is not in the mesh."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.fixture
def listen() -> Iterator[Callable[..., int]]:
    """Start a server and return its port. Each connection uses the next handler, and the last handler is reused."""
    servers: list[socket.socket] = []

    def start(*handlers: Handler) -> int:
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
                        handlers[min(index, len(handlers) - 1)](connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_status_200_is_served(listen: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listen(respond(OK))}/productpage"
    done = run_probe(5, "served", url)
    assert (done.returncode, done.stdout) == (0, f"ok: {url}: 200\n")


def test_request_is_retried_until_the_response_contains_the_text(listen: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listen(respond(OK.replace(b'ok', b'no')), respond(OK))}/#ok"
    assert run_probe(20, "served", url).returncode == 0


def test_response_without_the_text_is_a_failure(listen: Callable[..., int]) -> None:
    url = f"http://127.0.0.1:{listen(respond(OK))}/reviews/0#stars"
    done = run_probe(0, "served", url)
    assert (done.returncode, done.stdout) == (1, f"FAILED: {url}: expected 200, got 200 without stars\n")


STARS = "http://reviews:9080/reviews/0#stars"


def reviews(**versions: Any) -> dict[str, Any]:
    return {"services": {"reviews": {"versions": versions}}}


MESH = {"mesh": {"mode": "sidecar"}, "destinationRules": {"enabled": True}, "virtualServices": {"enabled": True}}


@pytest.mark.parametrize(
    ("values", "expected"),
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
def test_stars_are_expected_only_if_calls_reach_a_version_that_calls_ratings(
    helm: Helm, values: dict[str, Any], expected: bool
) -> None:
    (container,) = named(helm.render(values), "Pod", "bookinfo-test-edges")["spec"]["containers"]
    assert (STARS in container["args"]) is expected


def test_unready_service_is_retried(listen: Callable[..., int]) -> None:
    done = run_probe(20, "served", f"http://127.0.0.1:{listen(reset, respond(FORBIDDEN), respond(OK))}/")
    assert (done.returncode, done.stdout[:2]) == (0, "ok")


def test_rejected_caller_is_not_served(listen: Callable[..., int]) -> None:
    done = run_probe(0, "served", f"http://127.0.0.1:{listen(respond(FORBIDDEN))}/")
    assert done.returncode == 1
    assert re.fullmatch(r"FAILED: http://\S+: expected 200, got 403\n", done.stdout)


@pytest.mark.parametrize("handler", [reset, respond(FORBIDDEN)], ids=["connection closed", "403"])
def test_closed_connection_and_403_are_rejections(listen: Callable[..., int], handler: Handler) -> None:
    assert run_probe(0, "rejected", f"http://127.0.0.1:{listen(handler)}/").returncode == 0


def test_success_fails_a_test_that_expects_rejection(listen: Callable[..., int]) -> None:
    done = run_probe(0, "rejected", f"http://127.0.0.1:{listen(respond(OK))}/")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://no-such-service.invalid/"], ids=["closed", "no name"])
def test_unreachable_address_is_neither_served_nor_rejected(url: str) -> None:
    assert run_probe(0, "served", url).returncode == 1
    assert run_probe(0, "rejected", url).returncode == 1


def test_probe_stops_at_the_first_failure(listen: Callable[..., int]) -> None:
    good, bad = listen(respond(OK)), listen(respond(FORBIDDEN))
    done = run_probe(0, "served", *(f"http://127.0.0.1:{port}/" for port in (good, bad, good)))
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ok", "FAILED"]


def test_request_to_a_gateway_has_the_host_of_the_url(listen: Callable[..., int]) -> None:
    requests: list[bytes] = []
    connect_to = {"CONNECT_TO": f"127.0.0.1:{listen(respond(OK, requests))}"}
    assert run_probe(5, "served", "http://shop.example/productpage", environ=connect_to).returncode == 0
    assert requests[0].startswith(b"GET /productpage HTTP/1.1\r\nHost: shop.example\r\n")


def test_tls_connection_has_the_server_name_of_the_url(listen: Callable[..., int], tmp_path: Path) -> None:
    ca.issue(ca.create_authority("shop.example"), "spiffe://shop.example/gateway", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / proxy_directory.CERTIFICATE, tmp_path / proxy_directory.PRIVATE_KEY)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def respond_over_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            respond(OK)(secured)

    url = "https://shop.example/productpage"
    connect_to = {"CONNECT_TO": f"127.0.0.1:{listen(respond_over_tls)}"}
    assert run_probe(5, "served", url, environ=connect_to).returncode == 0
    assert names == ["shop.example"]


def test_arguments_of_the_test_pod_work_with_a_real_service(helm: Helm, tmp_path: Path) -> None:
    """The arguments are those of the rendered pod. The connection goes to a local process of details."""
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
        environ = {**os.environ, "CONNECT_TO": f"127.0.0.1:{port}"}
        command = [sys.executable, "-c", *arguments, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environ)
        assert (done.returncode, done.stdout) == (0, f"ok: {url}: 200\n")
    finally:
        service.terminate()
        service.wait(timeout=20)
