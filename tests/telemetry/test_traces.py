"""One request is one trace, with a span for each request and call."""

import re
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from tests.telemetry.conftest import Collector, Echo, Services, free_port, start, until_ready

from bookinfo_chassis.tracing import FLUSH_SECONDS
from bookinfo_lab.observe.spans import Span

EDGES = {
    ("productpage", "/productpage"): {("productpage", "details"), ("productpage", "reviews"), ("reviews", "ratings")},
    ("reviews-v3", "/reviews/0"): {("reviews", "ratings")},
    ("reviews-v2", "/reviews/0"): {("reviews", "ratings")},
    ("reviews-v1", "/reviews/0"): set(),
    ("details", "/details/0"): set(),
}
"""The calls (caller, callee) that each request causes."""

TRACE = secrets.token_hex(16)


def contexts(trace_id: str) -> dict[str, Mapping[str, str]]:
    """Return the headers of a sampled caller in each supported format."""
    span_id = secrets.token_hex(8)
    w3c = {"traceparent": f"00-{trace_id}-{span_id}-01"}
    b3 = {"x-b3-traceid": trace_id, "x-b3-spanid": span_id, "x-b3-sampled": "1"}
    foreign = {"x-b3-traceid": secrets.token_hex(16), "x-b3-spanid": span_id, "x-b3-sampled": "1"}
    return {
        "w3c": w3c,
        "b3 multi": b3,
        "b3 single": {"b3": f"{trace_id}-{span_id}-1"},
        "w3c and b3": w3c | b3,
        "w3c wins over b3": w3c | foreign,
        "b3 deferred": {"x-b3-traceid": trace_id, "x-b3-spanid": span_id},
    }


def edges(spans: list[Span]) -> set[tuple[str, str]]:
    """Return (caller, callee) for each server span whose parent is a client span."""
    by_id = {span.span_id: span for span in spans}
    return {
        (by_id[span.parent_id].service, span.service)
        for span in spans
        if span.kind == "server" and span.parent_id in by_id
    }


def count(spans: list[Span], kind: str) -> int:
    return sum(span.kind == kind for span in spans)


@pytest.mark.parametrize("way", list(contexts("")))
@pytest.mark.parametrize(("entry", "path"), list(EDGES))
def test_a_request_is_one_trace_with_all_calls(services: Services, entry: str, path: str, way: str) -> None:
    trace_id = secrets.token_hex(16)
    expected = EDGES[entry, path]
    assert httpx.get(services.url(entry, path), headers=contexts(trace_id)[way]).status_code == 200
    spans = services.collector.wait_for(trace_id, 1 + 2 * len(expected))
    assert edges(spans) == expected
    assert count(spans, "server") == 1 + len(expected)
    assert count(spans, "client") == len(expected)
    assert len(spans) == 1 + 2 * len(expected)


def test_a_request_without_a_trace_starts_one(services: Services) -> None:
    known = set(services.collector.store.traces())
    httpx.get(services.url("reviews-v3", "/reviews/0"))
    services.collector.wait_for("", 1)
    (trace_id,) = set(services.collector.store.traces()) - known
    spans = services.collector.store.trace(trace_id)
    assert edges(spans) == {("reviews", "ratings")}
    assert [span.parent_id for span in spans if span.service == "reviews" and span.kind == "server"] == [""]


@pytest.mark.parametrize(
    "unsampled",
    [
        {"traceparent": f"00-{TRACE}-{'2' * 16}-00"},
        {"x-b3-traceid": TRACE, "x-b3-spanid": "2" * 16, "x-b3-sampled": "0"},
        {"b3": f"{TRACE}-{'2' * 16}-0"},
        {"b3": "0"},
        {"x-b3-sampled": "0"},
    ],
)
def test_a_request_that_the_caller_does_not_sample_has_no_spans(
    services: Services, unsampled: Mapping[str, str]
) -> None:
    known = services.collector.store.traces()
    httpx.get(services.url("productpage", "/productpage"), headers=unsampled)
    services.collector.wait_for(TRACE, 0)
    assert services.collector.store.traces() == known


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
def test_probes_and_scrapes_are_never_traced(services: Services, path: str) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    assert httpx.get(services.url("details", path), headers=headers).status_code == 200
    assert services.collector.wait_for(trace_id, 0) == []


@pytest.mark.parametrize("family", ["http_request_duration_seconds", "http_client_request_duration_seconds"])
def test_durations_have_exemplars_with_the_trace_id(services: Services, family: str) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    assert httpx.get(services.url("reviews-v3", "/reviews/0"), headers=headers).status_code == 200
    text = httpx.get(services.url("reviews-v3", "/metrics"), headers={"accept": "application/openmetrics-text"}).text
    families = {found.name: found for found in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    exemplars = [sample.exemplar.labels for sample in families[family].samples if sample.exemplar]
    assert {"trace_id": trace_id} in exemplars


def test_spans_follow_the_stable_semantic_conventions(services: Services) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    httpx.get(services.url("reviews-v2", "/reviews/7"), headers=headers)
    spans = services.collector.wait_for(trace_id, 3)
    (server,) = (span for span in spans if span.kind == "server" and span.service == "reviews")
    (client,) = (span for span in spans if span.kind == "client")
    assert server.attributes["http.request.method"] == "GET"
    assert server.attributes["http.route"] == "/reviews/{product_id}"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["server.address"] == "127.0.0.1"
    assert server.attributes["server.port"] == services.ports["reviews-v2"]
    assert server.resource["service.version"] == "v2"
    assert server.resource["service.instance.id"] == "reviews-v2-pod"
    assert client.attributes["http.request.method"] == "GET"
    assert client.attributes["http.response.status_code"] == 200
    assert client.attributes["server.address"] == "127.0.0.1"
    assert client.attributes["peer.version"] == "v1"
    assert not [name for span in spans for name in span.attributes if name in ("http.method", "http.status_code")]


def test_credentials_in_the_query_are_redacted_in_spans(services: Services) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    url = services.url("productpage", "/login?username=joe&passwd=s3cret&u=1")
    assert httpx.post(url, headers=headers).status_code == 302
    (span,) = services.collector.wait_for(trace_id, 1)
    assert span.attributes["url.query"] == "username=joe&passwd=REDACTED&u=1"
    assert "s3cret" not in str(span)


@pytest.mark.parametrize("name", ["host", "user-agent", "tracestate"])
def test_a_header_that_opentelemetry_cannot_decode_does_not_fail_the_request(services: Services, name: str) -> None:
    traceparent = f"00-{secrets.token_hex(16)}-{'2' * 16}-01"
    headers = {"traceparent": traceparent.encode(), name: b"\xff\\x"}
    assert httpx.get(services.url("details", "/details/0"), headers=headers).status_code == 200


def test_stable_conventions_apply_together_with_other_opt_ins(
    collector: Collector, start_service: Callable[..., str]
) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    httpx.get(f"{start_service('ratings', OTEL_SEMCONV_STABILITY_OPT_IN='database')}/ratings/0", headers=headers)
    (span,) = collector.wait_for(trace_id, 1)
    assert "http.request.method" in span.attributes
    assert "http.method" not in span.attributes


def test_a_missing_section_of_the_page_is_an_event_in_its_trace(
    collector: Collector, start_service: Callable[..., str]
) -> None:
    productpage = start_service(
        "productpage",
        DETAILS_HOSTNAME="127.0.0.1",
        DETAILS_SERVICE_PORT="9",
        REVIEWS_HOSTNAME="127.0.0.1",
        REVIEWS_SERVICE_PORT="9",
    )
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    assert httpx.get(f"{productpage}/productpage", headers=headers).status_code == 200
    spans = collector.wait_for(trace_id, 4)
    (server,) = (span for span in spans if span.kind == "server")
    calls = [span for span in spans if span.kind == "client"]
    sections = {event.attributes["section"] for event in server.events if event.name == "degraded"}
    assert sections == {"details", "reviews"}
    assert [call.error for call in calls] == [True, True, True]  # details once, reviews twice
    assert {call.attributes["error.type"] for call in calls} == {"ConnectError"}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"x-b3-traceid": TRACE, "x-b3-spanid": "2" * 16}, {"x-b3-traceid": TRACE, "x-b3-sampled": "0"}),
        ({"b3": f"{TRACE}-{'2' * 16}"}, {"b3": f"{TRACE}-{'2' * 16}-0"}),
    ],
)
def test_a_deferred_decision_is_made_once_and_propagated(
    collector: Collector,
    start_service: Callable[..., str],
    echo: Echo,
    sent: Mapping[str, str],
    expected: Mapping[str, str],
) -> None:
    reviews = start_service(
        "reviews",
        VERSION="v2",
        OTEL_TRACES_SAMPLER="always_off",
        RATINGS_HOSTNAME="127.0.0.1",
        RATINGS_SERVICE_PORT=str(echo.port),
    )
    assert httpx.get(f"{reviews}/reviews/0", headers=sent).status_code == 200
    assert expected.items() <= echo.headers[-1].items()
    assert collector.wait_for(TRACE, 0) == []


def test_a_decision_without_a_trace_is_propagated_with_new_ids(start_service: Callable[..., str], echo: Echo) -> None:
    reviews = start_service(
        "reviews",
        VERSION="v2",
        OTEL_TRACES_SAMPLER="always_off",
        RATINGS_HOSTNAME="127.0.0.1",
        RATINGS_SERVICE_PORT=str(echo.port),
    )
    assert httpx.get(f"{reviews}/reviews/0").status_code == 200
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", echo.headers[-1]["traceparent"])


@pytest.mark.parametrize(
    ("sent", "spans"),
    [
        (contexts(TRACE)["w3c and b3"], 2),
        ({"traceparent": f"00-{TRACE}-{'2' * 16}-00"}, 0),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": "2" * 16, "x-b3-sampled": "0"}, 0),
        ({"b3": "0"}, 0),
        ({"b3": f"{TRACE}-{'2' * 16}"}, 0),
        ({"traceparent": "malformed"}, 0),
    ],
)
def test_spans_and_propagated_headers_are_the_same_without_the_sampling_gate(
    collector: Collector, start_service: Callable[..., str], echo: Echo, sent: Mapping[str, str], spans: int
) -> None:
    trace_id = secrets.token_hex(16)
    sent = {name: value.replace(TRACE, trace_id) for name, value in sent.items()}
    propagated = []
    for gate in ("true", "false"):
        reviews = start_service(
            "reviews",
            VERSION="v2",
            FAST_PATH_SAMPLING_GATE=gate,
            OTEL_TRACES_SAMPLER="parentbased_always_off",
            RATINGS_HOSTNAME="127.0.0.1",
            RATINGS_SERVICE_PORT=str(echo.port),
        )
        known = set(collector.store.traces())
        assert httpx.get(f"{reviews}/reviews/0", headers=sent).status_code == 200
        expected = spans * (1 if gate == "true" else 2)  # both requests belong to the same trace
        assert len(collector.wait_for(trace_id, expected)) == expected
        assert set(collector.store.traces()) - known <= {trace_id}
        propagated.append(
            {name: re.sub(r"[0-9a-f]{16,}", _mask(trace_id), value) for name, value in echo.headers[-1].items()}
        )
    with_gate, without_gate = propagated
    without_gate["host"] = with_gate["host"]
    assert with_gate == without_gate


def _mask(trace_id: str) -> Callable[[re.Match[str]], str]:
    """Replace all ids except the trace id: each request has new ones."""
    return lambda match: match[0] if match[0] == trace_id else f"{len(match[0])} digits"


def test_without_tracing_trace_headers_are_propagated_unchanged(start_service: Callable[..., str], echo: Echo) -> None:
    reviews = start_service(
        "reviews",
        VERSION="v2",
        OTEL_SDK_DISABLED="true",
        RATINGS_HOSTNAME="127.0.0.1",
        RATINGS_SERVICE_PORT=str(echo.port),
    )
    sent = contexts(TRACE)["w3c and b3"] | {"b3": "1", "tracestate": "a=1,b=2", "baggage": "k=v;p", "x-b3-flags": "1"}
    assert httpx.get(f"{reviews}/reviews/0", headers=sent).status_code == 200
    assert sent.items() <= echo.headers[-1].items()


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")]
)
def test_an_unsupported_otel_variable_is_a_one_line_error(variable: str, value: str) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", variable: value}
    process = start("details", free_port(), variables, stderr=subprocess.PIPE)
    _, error = process.communicate(timeout=30)
    assert process.returncode != 0
    assert len(error.splitlines()) == 1
    assert variable.encode() in error


@contextmanager
def failing_collector(status: int | None) -> Iterator[int]:
    """Run a collector that responds with `status`, or never responds. Yield its port."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if status is None:
                over.wait()
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            over.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [503, 429, None])
def test_a_failing_collector_does_not_delay_the_exit(status: int | None) -> None:
    with failing_collector(status) as collector:
        port = free_port()
        process = start("details", port, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}"})
        until_ready(f"http://127.0.0.1:{port}/readyz")
        assert httpx.get(f"http://127.0.0.1:{port}/details/0").status_code == 200
        began = time.monotonic()
        process.terminate()
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
        assert FLUSH_SECONDS <= time.monotonic() - began < FLUSH_SECONDS + 2


def test_an_unreachable_collector_does_not_delay_the_exit(start_service: Callable[..., str]) -> None:
    details = start_service("details", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert httpx.get(f"{details}/details/0").status_code == 200  # the fixture asserts that it exits with 0 in time
