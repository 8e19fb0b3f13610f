"""A trace as a waterfall."""

import json
from collections.abc import Mapping

import pytest

from bookinfo_lab.observe import waterfall as module
from bookinfo_lab.observe.spans import Kind, Span, Value
from bookinfo_lab.observe.waterfall import Waterfall, waterfall

START = 1_700_000_000_000_000_000


def span(
    name: str,
    parent: str,
    begin: int,
    end: int,
    *,
    kind: Kind = "server",
    error: bool = False,
    attributes: Mapping[str, Value] | None = None,
) -> Span:
    return Span(
        trace_id="t",
        span_id=name,
        parent_id=parent,
        name=name,
        kind=kind,
        start_ns=START + begin,
        end_ns=START + end,
        error=error,
        resource={"service.name": name},
        attributes=attributes or {},
    )


def critical(found: Waterfall) -> dict[str, tuple[tuple[int, int], ...]]:
    return {row.span_id: row.critical for row in found.rows}


def test_a_span_stands_before_what_it_led_to_and_siblings_in_the_order_of_their_start() -> None:
    found = waterfall([span("c", "b", 30, 40), span("d", "a", 50, 60), span("b", "a", 20, 45), span("a", "", 0, 100)])
    assert [(row.span_id, row.depth) for row in found.rows] == [("a", 0), ("b", 1), ("c", 2), ("d", 1)]
    assert [row.last for row in found.rows] == [(True,), (True, False), (True, False, True), (True, True)]


def test_times_count_from_the_traces_start() -> None:
    found = waterfall([span("a", "", 0, 100), span("b", "a", 20, 45)])
    assert (found.start_ns, found.duration) == (START, 100)
    assert [(row.start, row.duration) for row in found.rows] == [(0, 100), (20, 25)]


def test_a_spans_own_time_is_what_no_child_covers_and_overlapping_children_cover_once() -> None:
    found = waterfall([span("a", "", 0, 100), span("b", "a", 20, 60), span("c", "a", 40, 80)])
    assert {row.span_id: row.own for row in found.rows} == {"a": 40, "b": 40, "c": 40}


def test_the_critical_path_follows_the_child_that_ended_last_and_leaves_out_who_ran_beside_it() -> None:
    found = waterfall(
        [
            span("page", "", 0, 100),
            span("details", "page", 10, 40),
            span("reviews", "page", 10, 90),
            span("r", "reviews", 20, 70),
        ]
    )
    assert critical(found) == {
        "page": ((0, 10), (90, 100)),
        "details": (),
        "reviews": ((10, 20), (70, 90)),
        "r": ((20, 70),),
    }
    assert found.slowest.span_id == "r"


def test_the_critical_path_adds_up_to_the_root() -> None:
    found = waterfall([span("a", "", 0, 90), span("b", "a", 5, 30), span("c", "a", 30, 80), span("d", "c", 35, 79)])
    assert sum(row.blamed for row in found.rows) == 90


def test_one_after_the_other_both_are_waited_for() -> None:
    found = waterfall([span("a", "", 0, 100), span("b", "a", 10, 40), span("c", "a", 50, 90)])
    assert critical(found)["b"] == ((10, 40),)
    assert critical(found)["c"] == ((50, 90),)


def test_a_server_whose_span_ends_a_moment_after_its_callers_was_waited_for() -> None:
    found = waterfall([span("call", "", 0, 100, kind="client"), span("served", "call", 5, 103)])
    assert critical(found)["served"] == ((5, 100),)


def test_a_child_that_was_given_up_on_had_been_waited_for() -> None:
    found = waterfall([span("call", "", 0, 50, kind="client", error=True), span("served", "call", 5, 2000)])
    assert critical(found)["served"] == ((5, 50),)


def test_a_child_that_the_caller_did_not_wait_for_has_no_blame() -> None:
    found = waterfall([span("call", "", 0, 50), span("mirrored", "call", 5, 2000), span("served", "call", 5, 48)])
    assert critical(found)["mirrored"] == ()
    assert critical(found)["served"] == ((5, 48),)


def test_a_span_whose_parent_is_missing_is_a_root() -> None:
    found = waterfall([span("a", "elsewhere", 0, 10), span("b", "a", 2, 8), span("c", "lost", 3, 5)])
    assert [(row.span_id, row.depth) for row in found.rows] == [("a", 0), ("b", 1), ("c", 0)]


def test_parents_that_lead_in_a_circle_are_cut() -> None:
    found = waterfall([span("a", "c", 0, 10), span("b", "a", 1, 9), span("c", "b", 2, 8), span("d", "d", 3, 4)])
    assert [(row.span_id, row.depth) for row in found.rows] == [("a", 0), ("b", 1), ("c", 2), ("d", 0)]


def test_a_span_that_was_exported_twice_is_there_once() -> None:
    assert len(waterfall([span("a", "", 0, 10), span("a", "", 0, 10)]).rows) == 1


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"http.request.method": "GET", "url.path": "/reviews/0"}, "/reviews/0"),
        ({"http.request.method": "GET", "url.full": "http://reviews:9080/reviews/0?q=1"}, "/reviews/0"),
        ({"http.method": "GET", "http.url": "http://reviews:9080/reviews/0"}, "/reviews/0"),
        ({"http.request.method": "POST", "url.path": "/login"}, "POST /login"),
        ({}, "a"),
    ],
)
def test_a_row_is_named_by_what_was_asked_for_in_old_and_new_conventions(attributes: dict[str, str], name: str) -> None:
    assert waterfall([span("a", "", 0, 10, attributes=attributes)]).rows[0].name == name


@pytest.mark.parametrize(
    ("service", "attributes", "who"),
    [
        ("reviews", {}, "reviews v2"),
        (
            "reviews.default",
            {"component": "proxy", "node_id": "sidecar~127.64.0.2~reviews-v2-x.default~"},
            "reviews proxy",
        ),
        (
            "istio-ingressgateway.istio-system",
            {"component": "proxy", "node_id": "router~127.64.0.1~"},
            "ingressgateway",
        ),
    ],
)
def test_a_row_tells_a_service_from_the_proxy_before_it(service: str, attributes: dict[str, str], who: str) -> None:
    resource = {"service.name": service} | ({} if attributes else {"service.version": "v2"})
    (row,) = waterfall([Span("t", "a", "", "GET", "server", 0, 1, False, resource, attributes)]).rows
    assert row.who == who


def test_a_summary_names_the_span_that_is_to_blame() -> None:
    spans = [
        span(
            "page",
            "",
            0,
            100,
            attributes={"http.request.method": "GET", "url.path": "/", "http.response.status_code": 200},
        ),
        span("ratings", "page", 5, 95, error=True),
    ]
    told = waterfall(spans).summary()
    assert (told["name"], told["status"], told["error"], told["spans"]) == ("/", "200", True, 2)
    assert told["slowest"] == {"who": "ratings", "name": "ratings", "blamed": 90}


def test_json_leads_there_and_back_and_says_what_flags_mean() -> None:
    spans = [span("a", "", 0, 10), span("b", "a", 2, 8)]
    proxy = Span("t", "p", "b", "egress", "client", START + 3, START + 7, True, {}, {"response_flags": "DI"})
    found = waterfall([*spans, proxy])
    told = json.loads(json.dumps(found.as_json()))
    assert told["rows"][2]["meaning"] == "delayed on purpose"
    rebuilt = module.from_json(told)
    assert rebuilt.as_json() == found.as_json()


def test_times_that_cannot_be_and_numbers_that_json_lacks_do_no_harm() -> None:
    backwards = span("a", "", 10, 0, attributes={"strange": float("nan")})
    told = json.dumps(waterfall([backwards, span("b", "a", 20, 5)]).as_json(), allow_nan=False)
    assert '"strange": "nan"' in told
