"""The propagated headers."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.propagation import CREDENTIALS, PROPAGATED, propagated_header, propagated_headers

Start = Callable[..., TestClient]

PROPAGATED_NAMES = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
]


def test_the_list_contains_the_original_headers_all_of_b3_and_baggage() -> None:
    assert {name.decode() for name in PROPAGATED} == set(PROPAGATED_NAMES)


def test_credentials_are_a_separate_group() -> None:
    assert set(CREDENTIALS) == {b"cookie", b"authorization", b"jwt"}


@pytest.mark.parametrize("name", PROPAGATED_NAMES)
def test_each_header_is_propagated_unchanged(start: Start, name: str) -> None:
    assert [name, "Value; with=%41, signs"] in start().get(
        "/headers", headers={name.title(): "Value; with=%41, signs"}
    ).json()


def test_repeated_headers_are_propagated_in_order(start: Start) -> None:
    sent = [("baggage", "a=1"), ("x-request-id", "r"), ("baggage", "b=2")]
    got = start().get("/headers", headers=sent).json()
    assert [pair for pair in got if pair[0] != "user-agent"] == [list(pair) for pair in sent]


@pytest.mark.parametrize("name", ["accept", "content-type", "x-forwarded-for", "x-forwarded-proto", "te", "host"])
def test_other_headers_are_not_propagated(start: Start, name: str) -> None:
    got = start().get("/headers", headers={name: "x"}).json()
    assert name not in [header for header, _ in got]


def test_a_service_can_drop_a_header(start: Start) -> None:
    client = start(dropped_headers=frozenset({b"end-user"}))
    assert "end-user" not in [name for name, _ in client.get("/headers", headers={"end-user": "eve"}).json()]


def test_there_are_no_propagated_headers_outside_a_request() -> None:
    assert list(propagated_headers()) == []
    assert propagated_header(b"x-request-id") is None
