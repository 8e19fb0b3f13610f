"""Which trace a request belongs to."""

import pytest

from bookinfo_chassis.trace_context import TraceContext, read, unsampled, with_span

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SHORT = b"a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"
OURS = b"b7ad6b7169203331"
PARENT = b"53995c3f42cd8ad8"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], TraceContext()),
        ([(b"traceparent", b"00-%s-%s-01" % (TRACE, SPAN))], TraceContext(TRACE, SPAN, sampled=True)),
        ([(b"traceparent", b"00-%s-%s-00" % (TRACE, SPAN))], TraceContext(TRACE, SPAN, sampled=False)),
        ([(b"traceparent", b"00-%s-%s-03" % (TRACE, SPAN))], TraceContext(TRACE, SPAN, sampled=True, random=True)),
        ([(b"traceparent", b"cc-%s-%s-01-what-is-to-come" % (TRACE, SPAN))], TraceContext(TRACE, SPAN, sampled=True)),
        ([(b"b3", b"%s-%s-1" % (TRACE, SPAN))], TraceContext(TRACE, SPAN, sampled=True)),
        ([(b"b3", b"%s-%s-d" % (TRACE, SPAN))], TraceContext(TRACE, SPAN, sampled=True)),
        ([(b"b3", b"%s-%s-0-%s" % (TRACE, SPAN, PARENT))], TraceContext(TRACE, SPAN, sampled=False)),
        ([(b"b3", b"%s-%s" % (SHORT, SPAN))], TraceContext(SHORT, SPAN, sampled=None)),
        ([(b"b3", b"0")], TraceContext(sampled=False)),
        ([(b"b3", b"1")], TraceContext(sampled=True)),
        (
            [(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-sampled", b"1")],
            TraceContext(TRACE, SPAN, sampled=True),
        ),
        (
            [(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-sampled", b"false")],
            TraceContext(TRACE, SPAN, sampled=False),
        ),
        (
            [(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-flags", b"1")],
            TraceContext(TRACE, SPAN, sampled=True),
        ),
        ([(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN)], TraceContext(TRACE, SPAN, sampled=None)),
        ([(b"x-b3-traceid", TRACE.upper()), (b"x-b3-spanid", SPAN)], TraceContext(TRACE, SPAN, sampled=None)),
        ([(b"x-b3-sampled", b"0")], TraceContext(sampled=False)),
    ],
)
def test_the_callers_trace_and_decision_are_read(headers: list[tuple[bytes, bytes]], expected: TraceContext) -> None:
    assert read(headers) == expected


@pytest.mark.parametrize(
    "traceparent",
    [
        b"",
        b"garbage",
        b"ff-%s-%s-01" % (TRACE, SPAN),
        b"00-%s-%s-01" % (b"0" * 32, SPAN),
        b"00-%s-%s-01" % (TRACE, b"0" * 16),
        b"00-%s-%s-01" % (TRACE.upper(), SPAN),
        b"00-%s-%s-01-more" % (TRACE, SPAN),
        b"00-%s-%s" % (TRACE, SPAN),
    ],
)
def test_a_malformed_traceparent_counts_as_none(traceparent: bytes) -> None:
    assert read([(b"traceparent", traceparent)]) == TraceContext()


def test_a_malformed_traceparent_leaves_b3_its_word() -> None:
    headers = [(b"traceparent", b"garbage"), (b"b3", b"%s-%s-1" % (TRACE, SPAN))]
    assert read(headers) == TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize("b3", [b"%s-%s-1" % (b"0" * 32, SPAN), b"short-%s-1" % SPAN, b"%s--1" % TRACE])
def test_malformed_b3_ids_leave_the_decision(b3: bytes) -> None:
    assert read([(b"b3", b3)]) == TraceContext(sampled=True)


def test_w3c_wins_over_b3() -> None:
    headers = [(b"b3", b"%s-%s-0" % (SHORT, SPAN)), (b"traceparent", b"00-%s-%s-01" % (TRACE, SPAN))]
    assert read(headers) == TraceContext(TRACE, SPAN, sampled=True)


def test_a_call_names_its_span_in_w3c_and_in_each_form_of_b3_in_which_the_caller_spoke() -> None:
    headers = [
        (b"traceparent", b"00-%s-%s-01" % (TRACE, SPAN)),
        (b"tracestate", b"a=1"),
        (b"x-b3-traceid", TRACE),
        (b"b3", b"%s-%s-1" % (TRACE, SPAN)),
        (b"baggage", b"k=v"),
    ]
    assert dict(with_span(headers, TraceContext(TRACE, OURS, sampled=True), PARENT)) == {
        b"traceparent": b"00-%s-%s-01" % (TRACE, OURS),
        b"tracestate": b"a=1",
        b"baggage": b"k=v",
        b"x-b3-traceid": TRACE,
        b"x-b3-spanid": OURS,
        b"x-b3-parentspanid": PARENT,
        b"x-b3-sampled": b"1",
        b"b3": b"%s-%s-1-%s" % (TRACE, OURS, PARENT),
    }


def test_a_trace_id_that_is_vouched_for_as_random_stays_so() -> None:
    came = read([(b"traceparent", b"00-%s-%s-03" % (TRACE, SPAN))])
    assert came.traceparent == b"00-%s-%s-03" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("came", "named"),
    [
        ([(b"b3", b"%s-%s-d" % (TRACE, SPAN))], {b"b3": b"%s-%s-d-%s" % (TRACE, OURS, PARENT)}),
        ([(b"b3", b"d")], {b"b3": b"%s-%s-d-%s" % (TRACE, OURS, PARENT)}),
        (
            [(b"x-b3-traceid", TRACE), (b"x-b3-flags", b"1")],
            {
                b"x-b3-traceid": TRACE,
                b"x-b3-spanid": OURS,
                b"x-b3-parentspanid": PARENT,
                b"x-b3-flags": b"1",
            },
        ),
    ],
)
def test_b3s_wish_to_debug_travels_on(came: list[tuple[bytes, bytes]], named: dict[bytes, bytes]) -> None:
    called = dict(with_span(came, TraceContext(TRACE, OURS, sampled=True), PARENT))
    assert called == {b"traceparent": b"00-%s-%s-01" % (TRACE, OURS)} | named


def test_a_caller_without_b3_gets_none() -> None:
    called = with_span([(b"traceparent", b"x")], TraceContext(TRACE, OURS, sampled=True), PARENT)
    assert called == [(b"traceparent", b"00-%s-%s-01" % (TRACE, OURS))]


def test_a_trace_id_of_half_the_length_keeps_it_in_b3_and_is_filled_up_in_w3c() -> None:
    called = dict(with_span([(b"b3", b"x")], TraceContext(SHORT, OURS, sampled=True), PARENT))
    assert called[b"b3"].startswith(SHORT + b"-")
    assert called[b"traceparent"] == b"00-%s%s-%s-01" % (b"0" * 16, SHORT, OURS)


def test_a_deferred_decision_against_sampling_travels_on_with_the_ids_that_came() -> None:
    multi = [(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN)]
    assert unsampled(multi, read(multi), OURS * 2, OURS) == [*multi, (b"x-b3-sampled", b"0")]
    single = [(b"b3", b"%s-%s" % (TRACE, SPAN)), (b"baggage", b"k=v")]
    assert unsampled(single, read(single), OURS * 2, OURS) == [
        (b"baggage", b"k=v"),
        (b"b3", b"%s-%s-0" % (TRACE, SPAN)),
    ]


def test_where_there_was_no_trace_the_decision_travels_on_with_new_ids() -> None:
    assert unsampled([(b"tracestate", b"a=1")], TraceContext(), OURS * 2, PARENT) == [
        (b"tracestate", b"a=1"),
        (b"traceparent", b"00-%s-%s-00" % (OURS * 2, PARENT)),
    ]
