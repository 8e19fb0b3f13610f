"""The requests that the sender sends, and the results that it reports."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bookinfo_client.send import RequestPlan, decode, send


class _Handler(BaseHTTPRequestHandler):
    """Responds with the request, and with 302 for /redirect."""

    def do_GET(self) -> None:
        if self.path == "/cut":
            self.connection.close()
            return
        if self.path == "/slow":
            time.sleep(0.3)
        self.send_response(302 if self.path == "/redirect" else 404 if self.path == "/missing" else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(f"{self.command} {self.path} {self.headers.get('end-user', '')}".encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url(socket_enabled: None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_result_contains_status_headers_and_body(url: str) -> None:
    (result,) = send(RequestPlan(f"{url}/a", headers={"end-user": "jason"}))
    assert (result.status, result.body) == (200, "GET /a jason")
    assert result.headers["location"] == "/elsewhere"


def test_request_is_sent_count_times(url: str) -> None:
    assert [result.status for result in send(RequestPlan(f"{url}/missing", count=7, concurrency=3))] == [404] * 7


def test_requests_are_sent_concurrently(url: str) -> None:
    began = time.monotonic()
    send(RequestPlan(f"{url}/slow", count=8, concurrency=8))
    assert time.monotonic() - began < 8 * 0.3


def test_rate_limit_is_kept(url: str) -> None:
    began = time.monotonic()
    send(RequestPlan(f"{url}/", count=5, per_second=10))
    assert time.monotonic() - began >= 4 / 10


def test_redirect_is_not_followed(url: str) -> None:
    assert send(RequestPlan(f"{url}/redirect"))[0].status == 302


def test_method_post_is_sent(url: str) -> None:
    assert send(RequestPlan(f"{url}/login", method="POST"))[0].body.startswith("POST /login")


@pytest.mark.parametrize("path", ["/cut", ":1/"])
def test_lost_connection_is_a_result_with_an_error(url: str, path: str) -> None:
    target = url + path if path.startswith("/") else "http://127.0.0.1:1/"
    (result,) = send(RequestPlan(target))
    assert result.status == 0
    assert result.error


def test_program_reads_a_plan_and_writes_results(url: str) -> None:
    plan = json.dumps({"url": f"{url}/", "count": 2})
    ran = subprocess.run(
        [sys.executable, "-m", "bookinfo_client.send"], input=plan, capture_output=True, text=True, check=True
    )
    assert [result.status for result in decode(ran.stdout)] == [200, 200]
