"""The address at which a lab takes spans and tells its metrics."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bookinfo_lab.observe.otlp import MalformedExportError, decode, receiver
from bookinfo_lab.observe.spans import SpanStore
from bookinfo_lab.observe.telemetry import Guard

ADDRESS = "127.64.0.1:4318"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def status(**headers: str) -> int:
    """Of a request with these headers; names with _ for -."""
    metrics = Route("/metrics", lambda _: PlainTextResponse("up 1\n"))
    client = TestClient(Guard(Starlette(routes=[metrics])), base_url=f"http://{ADDRESS}")
    return client.get(
        "/metrics", headers={name.replace("_", "-"): value for name, value in headers.items()}
    ).status_code


@pytest.mark.parametrize("host", [ADDRESS, "127.64.0.1", "collector"])
def test_programs_ask_by_address_and_the_labs_envoys_by_the_collectors_name(host: str) -> None:
    assert status(host=host) == 200


@pytest.mark.parametrize("host", ["evil.example:4318", "127.64.0.1.evil.example", ""])
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    assert status(host=host, sec_fetch_site="same-origin") == 403


def test_who_types_the_address_into_a_browser_is_answered() -> None:
    assert status(sec_fetch_site="none", sec_fetch_mode="navigate") == 200


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}])
def test_a_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    assert status(**headers) == 403


@pytest.mark.parametrize(
    ("trace_id", "span_id"), [("", SPAN), ("00" * 16, SPAN), (TRACE[2:], SPAN), (TRACE, ""), (TRACE, "00" * 8)]
)
def test_a_span_without_valid_ids_is_left_out_and_the_exporter_told(trace_id: str, span_id: str) -> None:
    store = SpanStore()
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id))
    spans.add(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN))
    answer = TestClient(Starlette(routes=[receiver(store)])).post(
        "/v1/traces", content=export.SerializeToString(), headers={"content-type": "application/x-protobuf"}
    )
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (told.rejected_spans, told.error_message) == (1, "without a valid trace id and span id")
    assert store.traces() == [TRACE]
    assert len(store.trace(TRACE)) == 1


def test_a_span_with_what_is_not_utf8_is_taken_and_so_are_those_beside_it() -> None:
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add().scope_spans.add().spans
    for number in (1, 2):
        span = spans.add(trace_id=bytes.fromhex(TRACE), span_id=bytes([number] * 8), start_time_unix_nano=number)
        span.attributes.add(key="user_agent").value.string_value = "caf\u00e9/1.0"
    spans[1].attributes.add(key="answer").value.int_value = 42
    body = export.SerializeToString().replace("caf\u00e9/1.0".encode(), b"cafe\xe9/1.0", 1)
    one, other = decode(body)
    assert (one.attributes["user_agent"], other.attributes["user_agent"]) == ("cafe?/1.0", "caf\u00e9/1.0")
    assert (one.start_ns, other.start_ns, other.attributes["answer"]) == (1, 2, 42)


def nested(levels: int) -> bytes:
    """An attribute of a resource that is a list in a list in a list."""
    body = b""
    for field in [b"\x0a", b"\x2a"] * levels + [b"\x12", b"\x0a", b"\x0a", b"\x0a"]:
        length = bytes([len(body) & 0x7F | 0x80, len(body) >> 7 & 0x7F | 0x80, len(body) >> 14])
        body = field + length + body
    return body


@pytest.mark.parametrize(
    "body", [b"\xff", b"\x0a\xff", b"\x0a\x05\x12", b"\x0b", b"\x0a" * 9, b"\xff" * 10_000, nested(5000)]
)
def test_what_is_no_export_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedExportError):
        decode(body)
