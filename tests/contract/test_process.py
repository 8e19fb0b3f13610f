"""Services as processes: start, addresses, drain and exit."""

import json
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bookinfo_chassis.server import listen

Launch = Callable[..., Any]
FailingStart = Callable[..., tuple[int, str]]


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Poll until `condition` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


# --- drain and exit ---------------------------------------------------------------------------------------------------


def test_a_draining_service_is_unready_and_alive_and_serves_new_connections(
    launch: Launch,
) -> None:
    ratings = launch("ratings", DRAIN_SECONDS=4)
    began = time.monotonic()
    ratings.signal()
    wait_for(lambda: ratings.get("/readyz").status_code == 503, seconds=4)
    for _ in range(3):
        response = ratings.get("/ratings/0")
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert ratings.get("/livez").status_code == 200
    assert ratings.exit_code() == 0
    assert 4 <= time.monotonic() - began < 10
    assert not ratings.listens()


@pytest.mark.parametrize("name", ["productpage", "details", "reviews", "ratings"])
def test_every_service_exits_with_0_after_a_signal(launch: Launch, name: str) -> None:
    service = launch(name, VERSION="v2" if name in {"details", "reviews"} else "v1")
    began = time.monotonic()
    service.signal(signal.SIGINT if name == "ratings" else signal.SIGTERM)
    assert service.exit_code() == 0
    assert time.monotonic() - began < 5
    assert "Traceback" not in service.log.read_text()


def test_requests_in_flight_are_finished_after_the_listener_closes(launch: Launch) -> None:
    ratings = launch("ratings", DRAIN_SECONDS=0, FAULT_DELAY_MS=5000)
    responses: list[httpx.Response] = []
    call = threading.Thread(target=lambda: responses.append(ratings.get("/ratings/0")))
    call.start()
    wait_for(lambda: "http_requests_in_flight 1.0" in ratings.get("/metrics").text)
    ratings.signal()
    wait_for(lambda: not ratings.listens())
    assert not responses
    call.join(10)
    assert [response.status_code for response in responses] == [200]
    assert ratings.exit_code() == 0


def test_a_hanging_request_delays_the_exit_by_less_than_10_s(launch: Launch) -> None:
    ratings = launch("ratings", DRAIN_SECONDS=0.5, FAULT_DELAY_MS=60_000)

    def call() -> None:
        with suppress(httpx.TransportError):
            ratings.get("/ratings/0")

    threading.Thread(target=call, daemon=True).start()
    wait_for(lambda: "http_requests_in_flight 1.0" in ratings.get("/metrics").text)
    began = time.monotonic()
    ratings.signal()
    assert ratings.exit_code() == 0
    assert time.monotonic() - began < 10


def test_a_second_signal_stops_a_service_immediately(launch: Launch) -> None:
    ratings = launch("ratings", DRAIN_SECONDS=60)
    ratings.signal()
    wait_for(lambda: ratings.get("/readyz").status_code == 503)
    began = time.monotonic()
    ratings.signal()
    assert ratings.exit_code() == 0
    assert time.monotonic() - began < 5


def test_the_drain_closes_a_keep_alive_connection_gracefully(launch: Launch) -> None:
    ratings = launch("ratings", DRAIN_SECONDS=4)
    with ratings.client() as client:
        assert "connection" not in client.get("/ratings/0").headers
        ratings.signal()
        wait_for(lambda: ratings.get("/readyz").status_code == 503)
        assert client.get("/ratings/0").headers["connection"] == "close"
        assert client.get("/ratings/0").status_code == 200
    assert ratings.exit_code() == 0


# --- start ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variables", "line"),
    [
        ("productpage", {"SESSION_SECRET": "hunter2"}, "productpage: SESSION_SECRET: expected at least 16 characters"),
        ("details", {"DO_NOT_ENCRYPT": "perhaps"}, "details: DO_NOT_ENCRYPT: input should be a valid boolean"),
        ("reviews", {"VERSION": "v4"}, "reviews: VERSION: input should be 'v1', 'v2' or 'v3' (got 'v4')"),
        ("ratings", {"SERVICE_VERSION": "v2-mysql"}, "ratings: SERVICE_VERSION: input should be 'v1', 'v-faulty'"),
        ("ratings", {"HOST": "no-such-host.invalid"}, "ratings: HOST, PORT: cannot listen on no-such-host.invalid"),
        ("ratings", {"HOST": "192.0.2.1"}, "ratings: HOST, PORT: cannot listen on 192.0.2.1 port 9080: Cannot assign"),
        (
            "reviews",
            {"HTTP_PROXY": "socks5://u:hunter2@p:1080"},
            "reviews: HTTP_PROXY: expected the URL of an HTTP proxy",
        ),
        ("details", {"https_proxy": "http://"}, "details: https_proxy: expected the URL of an HTTP proxy such as ht"),
        (
            "ratings",
            {"UDS": "/no/such/directory/socket"},
            "ratings: UDS: its directory does not exist or is not writable",
        ),
    ],
)
def test_an_invalid_setting_is_a_one_line_error_with_exit_code_78(
    failing_start: FailingStart, name: str, variables: dict[str, str], line: str
) -> None:
    code, error = failing_start(name, **variables)
    assert code == 78
    assert error.startswith(line)
    assert error.count("\n") == 1
    assert "hunter2" not in error


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_in_use_is_a_one_line_error(failing_start: FailingStart, family: socket.AddressFamily) -> None:
    with socket.socket(family) as taken:
        if family is socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = failing_start("ratings", PORT=port)
    address = "::" if family is socket.AF_INET6 else "0.0.0.0"
    assert (code, error) == (
        78,
        f"ratings: HOST, PORT: cannot listen on {address} port {port}: Address already in use\n",
    )


def test_a_path_that_cannot_be_a_socket_is_an_error(failing_start: FailingStart, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    code, error = failing_start("ratings", UDS=tmp_path / "s")
    assert code != 0
    assert "UDS: the path exists and is not a socket" in error


# --- addresses --------------------------------------------------------------------------------------------------------


def reachable(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "expected"),
    [(None, {"127.0.0.1", "::1"}), ("127.0.0.1", {"127.0.0.1"})],
)
def test_a_service_listens_on_ipv4_and_ipv6_or_on_its_host(
    launch: Launch, free_port: int, host: str | None, expected: set[str]
) -> None:
    launch("ratings", **({"HOST": host} if host else {}))
    assert {address for address in ("127.0.0.1", "::1") if reachable(address, free_port)} == expected


def test_a_service_can_listen_on_ipv6_alone(free_port: int) -> None:
    (sock,) = listen("::", free_port)
    with sock:
        sock.listen()
        assert not reachable("127.0.0.1", free_port)
        assert reachable("::1", free_port)


@pytest.fixture
def _no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    class WithoutIPv6(real):  # type: ignore[misc, valid-type]
        def __init__(self, family: int = socket.AF_INET, *rest: Any, **more: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", WithoutIPv6)


@pytest.mark.usefixtures("_no_ipv6")
def test_without_ipv6_a_service_listens_on_ipv4_alone(free_port: int) -> None:
    sockets = listen(None, free_port)
    assert [sock.getsockname() for sock in sockets] == [("0.0.0.0", free_port)]
    for sock in sockets:
        sock.close()


@pytest.fixture
def uds() -> Iterator[Path]:
    """A path for a socket. pytest's own paths may be too long."""
    with tempfile.TemporaryDirectory(prefix="bookinfo-") as directory:
        yield Path(directory) / "service.sock"


def test_a_service_can_listen_on_a_unix_socket(launch: Launch, uds: Path, free_port: int) -> None:
    ratings = launch("ratings", UDS=uds)
    assert ratings.get("/ratings/7").content == b'{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}'
    assert not reachable("127.0.0.1", free_port)


def test_the_unix_socket_of_a_killed_service_is_reused(launch: Launch, uds: Path) -> None:
    first = launch("ratings", UDS=uds)
    first.signal(signal.SIGKILL)
    first.exit_code()
    assert uds.exists()
    assert launch("ratings", UDS=uds).get("/health").status_code == 200


def test_x_forwarded_proto_is_used_on_the_unix_socket(launch: Launch, uds: Path) -> None:
    productpage = launch("productpage", UDS=uds)
    with productpage.client() as client:
        response = client.post("/login", data={"username": "jason"}, headers={"x-forwarded-proto": "https"})
    assert response.status_code == 302
    assert "Secure" in response.headers["set-cookie"]


def test_x_forwarded_proto_is_used_only_from_the_sidecar_and_loopback(launch: Launch) -> None:
    productpage = launch("productpage")
    secure = {}
    for source in ("127.0.0.1", "127.0.0.6", "127.0.0.7"):
        with httpx.Client(transport=httpx.HTTPTransport(local_address=source)) as client:
            response = client.post(
                f"{productpage.url}/login", data={"username": "jason"}, headers={"x-forwarded-proto": "https"}
            )
        secure[source] = "Secure" in response.headers["set-cookie"]
    assert secure == {"127.0.0.1": True, "127.0.0.6": True, "127.0.0.7": False}


# --- raw HTTP ---------------------------------------------------------------------------------------------------------


def exchange(port: int, request: bytes) -> bytes:
    """Send raw bytes and read until the service closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
        return received


def test_head_has_the_length_of_the_body_and_no_body(launch: Launch, free_port: int) -> None:
    launch("ratings")
    head = exchange(free_port, b"HEAD /ratings/0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 48" in head
    assert head.endswith(b"\r\n\r\n")
    assert b"\r\nserver:" not in head.lower()


def test_pipelined_requests_have_a_response_each(launch: Launch, free_port: int) -> None:
    launch("ratings")
    two = b"GET /ratings/1 HTTP/1.1\r\nhost: x\r\n\r\nGET /ratings/2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    responses = exchange(free_port, two)
    assert (responses.count(b'{"id":1,'), responses.count(b'{"id":2,')) == (1, 1)


def test_invalid_http_is_400(launch: Launch, free_port: int) -> None:
    launch("ratings")
    for invalid in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n"):
        assert exchange(free_port, invalid).startswith(b"HTTP/1.1 400 Bad Request")


def test_a_body_beyond_the_limit_is_rejected_with_the_documented_text(launch: Launch, free_port: int) -> None:
    launch("ratings")
    big = b"POST /ratings/0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 65537\r\n\r\n" + b" " * 65537
    assert b'{"error":"please provide valid ratings JSON"}' in exchange(free_port, big)


def test_log_lines_are_json_with_service_version_and_request(launch: Launch) -> None:
    ratings = launch("ratings", ACCESS_LOG=1, VERSION="v-faulty")
    with ratings.client() as client:
        client.get("/ratings/x", headers={"x-request-id": "r-1"})
    ratings.signal()
    ratings.exit_code()
    lines = [json.loads(line) for line in ratings.log.read_text().splitlines()]
    assert {line["service"] for line in lines} == {"ratings"}
    assert {line["version"] for line in lines} == {"v-faulty"}
    (access,) = [line for line in lines if line["logger"] == "bookinfo.access"]
    assert access["request_id"] == "r-1"
    assert access["message"].startswith("GET /ratings/x 400 ")


def test_a_client_disconnect_is_not_an_unhandled_error(launch: Launch, free_port: int) -> None:
    ratings = launch("ratings")
    with socket.create_connection(("127.0.0.1", free_port)) as sock:
        sock.sendall(b"POST /ratings/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        wait_for(lambda: "http_requests_in_flight 1.0" in ratings.get("/metrics").text)
    wait_for(lambda: "http_requests_in_flight 0.0" in ratings.get("/metrics").text)
    ratings.signal()
    ratings.exit_code()
    log = ratings.log.read_text()
    assert "client disconnected" in log
    assert "Traceback" not in log


def test_a_unix_socket_in_use_is_a_one_line_error(launch: Launch, failing_start: FailingStart, uds: Path) -> None:
    launch("ratings", UDS=uds)
    code, error = failing_start("ratings", UDS=uds)
    assert code == 78
    assert error == f"ratings: UDS: another process listens on {uds}\n"
