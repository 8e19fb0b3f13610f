"""A lab watches itself: one page is one trace through every proxy and service, and each request is counted."""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.lab.conftest import Bookinfo, eventually, get
from tests.telemetry.conftest import Collector, Echo
from tests.telemetry.test_traces import contexts

from bookinfo_lab.errors import LabError
from bookinfo_lab.observe.spans import Span
from bookinfo_lab.runtime import envoy

EDGES = {
    "v1": {("istio-ingressgateway", "productpage"), ("productpage", "details"), ("productpage", "reviews")},
    "v2": {
        ("istio-ingressgateway", "productpage"),
        ("productpage", "details"),
        ("productpage", "reviews"),
        ("reviews", "ratings"),
    },
    "v3": {
        ("istio-ingressgateway", "productpage"),
        ("productpage", "details"),
        ("productpage", "reviews"),
        ("reviews", "ratings"),
    },
}
"""Which application calls which for a page, by the version of reviews."""

SPANS_OF_THE_PAGE = 3
"""The gateway's, the sidecar's and the service's."""

SPANS_OF_A_CALL = 4
"""The caller's, those of both sidecars, and the called one's."""

TRACED_ON = ("w3c", "w3c and b3", "w3c wins over b3")
"""Ways to speak that name a trace which Envoy goes on with."""


@dataclass(frozen=True)
class Watched:
    """A lab whose spans go on to a collector of the test's."""

    bookinfo: Bookinfo
    collector: Collector
    page: str
    telemetry: str

    def trace_of(self, request_id: str, spans: int) -> list[Span]:
        """The spans of the trace in which a proxy saw the request with that id."""

        def found() -> str | None:
            store = self.collector.store
            named = ("guid:x-request-id", request_id)
            return next(
                (
                    trace_id
                    for trace_id in store.traces()
                    if any(named in span.attributes.items() for span in store.trace(trace_id))
                ),
                None,
            )

        return self.collector.wait_for(eventually(found), spans)

    def requests(self, **labels: str) -> int:
        """What `istio_requests_total` says of all series that have these labels."""
        return sum(
            int(sample.value)
            for family in text_string_to_metric_families(get(f"{self.telemetry}/metrics").text)
            for sample in family.samples
            if sample.name == "istio_requests_total" and labels.items() <= sample.labels.items()
        )

    def scrape(self, deployment: str, path: str = "/metrics") -> str:
        """Where a scraper finds a workload."""
        return f"http://{self.bookinfo.workload(deployment)['address']}:15020{path}"


@pytest.fixture(scope="module")
def watched(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    try:
        envoy.find(os.environ)
    except LabError as error:
        pytest.skip(str(error))
    onward = f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{collector.port}"
    bookinfo = Bookinfo(tmp_path_factory.mktemp("state"), "telemetry", ("env", onward))
    bookinfo("up", "--detach", "--gateway-port=0", "--no-watch")
    status = bookinfo.status()
    yield Watched(bookinfo, collector, status["url"], status["telemetry"])
    bookinfo("down")


@pytest.fixture
def applied(watched: Watched) -> Iterator[Callable[..., None]]:
    """Applies files of the project, or text, until the end of the test."""

    def apply(*files: str, text: str = "") -> None:
        for file in files:
            watched.bookinfo("apply", "-f", file)
        if text:
            watched.bookinfo("apply", "-f", "-", stdin=text)

    yield apply
    watched.bookinfo("reset")


def app(span: Span) -> str:
    """The application to which a service or its proxy (`reviews.default`) belongs."""
    return span.service.partition(".")[0]


def edges(spans: list[Span]) -> set[tuple[str, str]]:
    """(caller, callee) for each span whose parent is another application's."""
    by_id = {span.span_id: span for span in spans}
    return {
        (app(parent), app(span)) for span in spans if (parent := by_id.get(span.parent_id)) and app(parent) != app(span)
    }


@pytest.mark.parametrize("version", list(EDGES))
def test_a_page_is_one_trace_through_every_proxy_and_service_however_its_caller_speaks(
    watched: Watched, applied: Callable[..., None], version: str
) -> None:
    applied(f"istio/routing/reviews-{version}.yaml")
    asked = {}
    for way in [*contexts(""), "none"]:
        trace_id, request_id = secrets.token_hex(16), secrets.token_hex(8)
        headers = contexts(trace_id).get(way, {})
        assert get(watched.page, {**headers, "x-request-id": request_id}).status == 200
        asked[way] = (trace_id, request_id)
    for way, (trace_id, request_id) in asked.items():
        calls = len(EDGES[version]) - 1
        spans = watched.trace_of(request_id, SPANS_OF_THE_PAGE + calls * SPANS_OF_A_CALL)
        ids = {span.span_id for span in spans}
        assert edges(spans) == EDGES[version], way
        assert len(spans) == SPANS_OF_THE_PAGE + calls * SPANS_OF_A_CALL, way
        assert [app(span) for span in spans if span.parent_id not in ids] == ["istio-ingressgateway"], way
        assert (spans[0].trace_id == trace_id) == (way in TRACED_ON), way


ECHO = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo}}
spec:
  hosts: [echo.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: echo}}
spec:
  hosts: ["*"]
  gateways: [bookinfo-gateway]
  http:
    - match: [{{uri: {{prefix: /echo}}}}]
      route: [{{destination: {{host: echo.example, port: {{number: 80}}}}}}]
"""


def test_b3_headers_pass_the_gateway_as_they_came_and_it_starts_a_trace_of_its_own(
    watched: Watched, applied: Callable[..., None], echo: Echo
) -> None:
    applied(text=ECHO.format(port=echo.port))
    trace_id = secrets.token_hex(16)
    came = contexts(trace_id)["b3 multi"] | {"b3": f"{trace_id}-{'2' * 16}-d", "x-b3-flags": "1"}
    assert get(f"{watched.page.removesuffix('/productpage')}/echo", came).status == 200
    assert came.items() <= echo.headers[-1].items()
    assert trace_id not in echo.headers[-1]["traceparent"]


def test_a_request_id_is_kept_or_made_at_the_edge(watched: Watched, applied: Callable[..., None], echo: Echo) -> None:
    applied(text=ECHO.format(port=echo.port))
    url = f"{watched.page.removesuffix('/productpage')}/echo"
    sent = ["mine", "7c9e6679-7425-40de-944b-e07fc1f90ae7"]
    for request_id in sent:
        assert get(url, {"x-request-id": request_id}).status == 200
    assert get(url).status == 200
    *kept, made = (headers["x-request-id"] for headers in echo.headers[-3:])
    assert kept == sent
    assert len(made) == 36


def test_a_request_with_an_id_of_any_form_is_traced(watched: Watched) -> None:
    trace_id = secrets.token_hex(16)
    came = {"x-request-id": "order-4711", "traceparent": f"00-{trace_id}-{'2' * 16}-01"}
    assert get(watched.page, came).status == 200
    deadline = time.monotonic() + 20
    while trace_id not in watched.collector.store.traces():
        assert time.monotonic() < deadline, "there is no such trace"
        time.sleep(0.1)


SAMPLING = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: mesh, namespace: istio-system}}
spec:
  tracing: [{{randomSamplingPercentage: {share}}}]
"""


def traces_of(watched: Watched, pages: int, headers: dict[str, str]) -> list[int]:
    """How many spans each trace has that so many pages made."""
    known = set(watched.collector.store.traces())
    for _ in range(pages):
        assert get(watched.page, headers).status == 200
    time.sleep(2)  # twice as long as anybody waits to export
    new = set(watched.collector.store.traces()) - known
    return [len(watched.collector.store.trace(trace_id)) for trace_id in new]


def test_of_a_share_that_is_sampled_every_trace_is_whole(watched: Watched, applied: Callable[..., None]) -> None:
    applied("istio/routing/reviews-v1.yaml", text=SAMPLING.format(share=50))
    sizes = traces_of(watched, 40, {})
    assert set(sizes) == {SPANS_OF_THE_PAGE + 2 * SPANS_OF_A_CALL}
    assert 5 <= len(sizes) <= 35  # otherwise by chance: once in 10 million runs


def test_a_callers_no_holds_and_its_yes_only_where_the_gateway_samples(
    watched: Watched, applied: Callable[..., None]
) -> None:
    yes = contexts(secrets.token_hex(16))["w3c"]
    no = {"traceparent": yes["traceparent"].removesuffix("01") + "00"}
    assert traces_of(watched, 1, no) == []
    applied(text=SAMPLING.format(share=0))
    assert traces_of(watched, 1, yes) == []


def test_each_side_counts_each_request_with_both_names_soon_after_it_ended(
    watched: Watched, applied: Callable[..., None]
) -> None:
    applied("istio/routing/reviews-v2.yaml")
    edge = {"source_workload": "reviews-v2", "destination_workload": "ratings-v1", "response_code": "200"}
    sides = {"source": "unknown", "destination": "mutual_tls"}
    before = {side: watched.requests(reporter=side, **edge) for side in sides}
    for _ in range(10):
        assert get(watched.page).status == 200
    for side, policy in sides.items():
        named = {**edge, "reporter": side, "connection_security_policy": policy, "source_version": "v2"}
        eventually(lambda: watched.requests(**named) == before[side] + 10, within=5)  # noqa: B023


@pytest.mark.parametrize(
    ("rule", "flags", "code", "answered"),
    [("ratings-abort-100", "FI", "500", "unknown"), ("ratings-delay-2s", "DI", "200", "ratings-v1")],
)
def test_faults_that_a_proxy_injects_are_counted_where_they_are_injected(
    watched: Watched, applied: Callable[..., None], rule: str, flags: str, code: str, answered: str
) -> None:
    folder = "timeouts" if "2s" in rule else "faults"
    applied("istio/routing/reviews-v2.yaml", f"istio/{folder}/{rule}.yaml")
    fault = {
        "reporter": "source",
        "source_workload": "reviews-v2",
        "destination_service_name": "ratings",
        "destination_workload": answered,
        "response_flags": flags,
        "response_code": code,
    }
    before = watched.requests(**fault)
    assert get(watched.page).status == 200
    eventually(lambda: watched.requests(**fault) == before + 1, within=5)


def test_scraping_goes_on_where_nothing_else_may_and_is_neither_counted_nor_traced(
    watched: Watched, applied: Callable[..., None]
) -> None:
    applied("istio/security/mtls-strict.yaml", "istio/security/allow-nothing.yaml")
    time.sleep(1)  # what was asked before is counted by now
    counted, known = watched.requests(), set(watched.collector.store.traces())
    for _ in range(3):
        page = get(watched.scrape("details-v1"))
        assert page.status == 200
        assert "http_requests_total" in page.text
        assert "/metrics" not in page.text
    time.sleep(1)
    assert watched.requests() == counted
    assert set(watched.collector.store.traces()) == known


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/details/0", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 405),
        ("DELETE", "/", 404),
    ],
)
def test_the_scrapers_door_leads_nowhere_else(watched: Watched, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, watched.scrape("details-v1", path), trust_env=False)
    assert answer.status_code == status


OF_EVERY_PROCESS = ("process_", "python_")


def documented() -> dict[str, str]:
    """The families in the table of docs/telemetry.md, with their types."""
    page = (Path(__file__).parents[2] / "docs/telemetry.md").read_text()
    return dict(re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|", page, re.MULTILINE))


def test_the_page_on_telemetry_names_each_family_of_metrics_and_no_other(watched: Watched) -> None:
    found = re.findall(r"^# TYPE (\w+) (\w+)$", get(watched.scrape("productpage-v1")).text, re.MULTILINE)
    own = {
        name: kind for name, kind in found if not name.startswith(OF_EVERY_PROCESS) and not name.endswith("_created")
    }
    assert own == documented()


def test_no_credential_is_in_any_log_span_or_metric(watched: Watched, applied: Callable[..., None]) -> None:
    applied("istio/telemetry/tracing-and-access-log.yaml", "istio/routing/reviews-v2.yaml")
    secret, request_id = secrets.token_hex(16), secrets.token_hex(8)
    credentials = {"cookie": f"session={secret}", "authorization": f"Bearer {secret}", "jwt": secret}
    assert get(watched.page, {**credentials, "x-request-id": request_id}).status == 200
    spans = watched.trace_of(request_id, SPANS_OF_THE_PAGE + 3 * SPANS_OF_A_CALL)
    assert secret not in repr(spans)
    assert secret not in get(f"{watched.telemetry}/metrics").text
    logs = [path for path in Path(watched.bookinfo.state).rglob("*.log*") if path.is_file()]
    eventually(lambda: any(request_id in log.read_text() for log in logs))
    assert [log for log in logs if secret in log.read_text()] == []
