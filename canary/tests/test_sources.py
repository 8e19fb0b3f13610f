"""Reading the metrics, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from canary.tests.conftest import series

from bookinfo_canary.errors import CanaryError
from bookinfo_canary.metrics import DURATIONS, REQUESTS, Selector
from bookinfo_canary.plan import Versions
from bookinfo_canary.sources import Endpoint, Prometheus


class Server(ThreadingHTTPServer):
    """Answers everything alike, and remembers what it was asked."""

    answer: tuple[int, str, str] = (200, "text/plain", "")
    asked: str = ""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked = self.path
        status, kind, text = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def selector(versions: Versions) -> Selector:
    return Selector.of(versions, "source")


def test_prometheus_is_asked_for_the_service_and_its_answer_is_counters(
    server: Server, url: str, selector: Selector
) -> None:
    labels = dict(series(REQUESTS, destination_version="v2")[1])
    result = [{"metric": {"__name__": REQUESTS, **labels}, "value": [1.0, "42"]}]
    body = {"status": "success", "data": {"resultType": "vector", "result": result}}
    server.answer = (200, "application/json", json.dumps(body))
    assert Prometheus(f"{url}/", selector).read() == {series(REQUESTS, destination_version="v2"): 42.0}
    asked = urlsplit(server.asked)
    assert asked.path == "/api/v1/query"
    (query,) = parse_qs(asked.query)["query"]
    assert query == (
        'last_over_time({__name__=~"istio_requests_total|istio_request_duration_milliseconds_bucket",'
        'reporter="source",destination_service_namespace="default",'
        'destination_service_name=~"reviews|reviews-v1|reviews-v2"}[5m])'
    )


def test_what_prometheus_says_is_wrong_is_said(server: Server, url: str, selector: Selector) -> None:
    server.answer = (400, "application/json", '{"status": "error", "error": "parse error: unexpected"}')
    with pytest.raises(CanaryError, match="parse error: unexpected"):
        Prometheus(url, selector).read()


@pytest.mark.parametrize(
    "answer",
    [(200, "text/html", "<html>"), (200, "application/json", "[]"), (502, "text/html", "bad gateway")],
    ids=["a page", "other JSON", "an error"],
)
def test_what_is_no_prometheus_is_named(
    server: Server, url: str, selector: Selector, answer: tuple[int, str, str]
) -> None:
    server.answer = answer
    with pytest.raises(CanaryError, match=url):
        Prometheus(url, selector).read()


def test_a_text_endpoint_is_read_for_the_same_series(server: Server, url: str, selector: Selector) -> None:
    def text(name: str, **labels: str) -> str:
        pairs = dict(series(name, **labels)[1])
        return name + "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"

    lines = [
        "# TYPE istio_requests_total counter",
        f"{text(REQUESTS, destination_version='v1')} 5",
        f"{text(REQUESTS, destination_version='v1', reporter='destination')} 5",
        "# TYPE istio_request_duration_milliseconds histogram",
        f"{text(DURATIONS, destination_version='v1', le='+Inf')} 5",
        "other_total 3",
    ]
    server.answer = (200, "text/plain", "\n".join(lines) + "\n")
    assert Endpoint(f"{url}/metrics", selector).read() == {
        series(REQUESTS, destination_version="v1"): 5.0,
        series(DURATIONS, destination_version="v1", le="+Inf"): 5.0,
    }


def test_a_text_that_is_no_metrics_is_named(server: Server, url: str, selector: Selector) -> None:
    server.answer = (200, "text/html", "<html>")
    with pytest.raises(CanaryError, match="no metrics in Prometheus' text format"):
        Endpoint(url, selector).read()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nowhere", "http://[::"], ids=["closed", "no scheme", "bad"])
def test_an_address_without_an_answer_is_named(address: str, selector: Selector) -> None:
    with pytest.raises(CanaryError, match="the metrics cannot be read"):
        Prometheus(address, selector).read()
