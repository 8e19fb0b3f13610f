"""Metrics sources, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from canary.tests.conftest import series

from bookinfo_canary.errors import CanaryError
from bookinfo_canary.metrics import DURATION_BUCKETS, REQUESTS, SeriesSelector
from bookinfo_canary.metrics_sources import PrometheusSource, TextEndpointSource
from bookinfo_canary.release_plan import Versions


class Server(ThreadingHTTPServer):
    """Returns one response to every request, and records the last request path."""

    response: tuple[int, str, str] = (200, "text/plain", "")
    request_path: str = ""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.request_path = self.path
        status, content_type, text = self.server.response
        self.send_response(status)
        self.send_header("Content-Type", content_type)
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
def selector(versions: Versions) -> SeriesSelector:
    return SeriesSelector.for_release(versions, "source")


def test_prometheus_query_selects_the_service(server: Server, url: str, selector: SeriesSelector) -> None:
    labels = dict(series(REQUESTS, destination_version="v2")[1])
    result = [{"metric": {"__name__": REQUESTS, **labels}, "value": [1.0, "42"]}]
    body = {"status": "success", "data": {"resultType": "vector", "result": result}}
    server.response = (200, "application/json", json.dumps(body))
    assert PrometheusSource(f"{url}/", selector).read() == {series(REQUESTS, destination_version="v2"): 42.0}
    requested = urlsplit(server.request_path)
    assert requested.path == "/api/v1/query"
    (query,) = parse_qs(requested.query)["query"]
    assert query == (
        'last_over_time({__name__=~"istio_requests_total|istio_request_duration_milliseconds_bucket",'
        'reporter="source",destination_service_namespace="default",'
        'destination_service_name=~"reviews|reviews-v1|reviews-v2"}[5m])'
    )


def test_error_of_prometheus_is_reported(server: Server, url: str, selector: SeriesSelector) -> None:
    server.response = (400, "application/json", '{"status": "error", "error": "parse error: unexpected"}')
    with pytest.raises(CanaryError, match="parse error: unexpected"):
        PrometheusSource(url, selector).read()


@pytest.mark.parametrize(
    "response",
    [(200, "text/html", "<html>"), (200, "application/json", "[]"), (502, "text/html", "bad gateway")],
    ids=["page", "other JSON", "error"],
)
def test_response_of_another_server_is_an_error(
    server: Server, url: str, selector: SeriesSelector, response: tuple[int, str, str]
) -> None:
    server.response = response
    with pytest.raises(CanaryError, match=url):
        PrometheusSource(url, selector).read()


def test_text_endpoint_is_read_for_the_same_series(server: Server, url: str, selector: SeriesSelector) -> None:
    def text(name: str, **labels: str) -> str:
        pairs = dict(series(name, **labels)[1])
        return name + "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"

    lines = [
        "# TYPE istio_requests_total counter",
        f"{text(REQUESTS, destination_version='v1')} 5",
        f"{text(REQUESTS, destination_version='v1', reporter='destination')} 5",
        "# TYPE istio_request_duration_milliseconds histogram",
        f"{text(DURATION_BUCKETS, destination_version='v1', le='+Inf')} 5",
        "other_total 3",
    ]
    server.response = (200, "text/plain", "\n".join(lines) + "\n")
    assert TextEndpointSource(f"{url}/metrics", selector).read() == {
        series(REQUESTS, destination_version="v1"): 5.0,
        series(DURATION_BUCKETS, destination_version="v1", le="+Inf"): 5.0,
    }


def test_text_without_metrics_is_an_error(server: Server, url: str, selector: SeriesSelector) -> None:
    server.response = (200, "text/html", "<html>")
    with pytest.raises(CanaryError, match="the response is not in Prometheus' text format"):
        TextEndpointSource(url, selector).read()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "nowhere", "http://[::"], ids=["closed port", "no scheme", "invalid"]
)
def test_url_without_a_server_is_an_error(address: str, selector: SeriesSelector) -> None:
    with pytest.raises(CanaryError, match="cannot read the metrics"):
        PrometheusSource(address, selector).read()
