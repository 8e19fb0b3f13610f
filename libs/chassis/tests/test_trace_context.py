"""Reading and writing the trace context of a request."""

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
        (
            [(b"traceparent", b"cc-%s-%s-01-later-version" % (TRACE, SPAN))],
            TraceContext(TRACE, SPAN, sampled=True),
        ),
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
def test_the_trace_context_of_the_caller_is_read(headers: list[tuple[bytes, bytes]], expected: TraceContext) -> None:
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
def test_a_malformed_traceparent_is_ignored(traceparent: bytes) -> None:
    assert read([(b"traceparent", traceparent)]) == TraceContext()


def test_b3_is_read_if_traceparent_is_malformed() -> None:
    headers = [(b"traceparent", b"garbage"), (b"b3", b"%s-%s-1" % (TRACE, SPAN))]
    assert read(headers) == TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize("b3", [b"%s-%s-1" % (b"0" * 32, SPAN), b"short-%s-1" % SPAN, b"%s--1" % TRACE])
def test_the_decision_is_read_if_b3_ids_are_malformed(b3: bytes) -> None:
    assert read([(b"b3", b3)]) == TraceContext(sampled=True)


def test_w3c_takes_precedence_over_b3() -> None:
    headers = [(b"b3", b"%s-%s-0" % (SHORT, SPAN)), (b"traceparent", b"00-%s-%s-01" % (TRACE, SPAN))]
    assert read(headers) == TraceContext(TRACE, SPAN, sampled=True)


def test_a_call_has_its_span_in_w3c_and_in_each_b3_form_of_the_caller() -> None:
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


def test_the_random_flag_is_kept() -> None:
    received = read([(b"traceparent", b"00-%s-%s-03" % (TRACE, SPAN))])
    assert received.traceparent == b"00-%s-%s-03" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("received", "expected"),
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
def test_the_debug_flag_of_b3_is_propagated(received: list[tuple[bytes, bytes]], expected: dict[bytes, bytes]) -> None:
    sent = dict(with_span(received, TraceContext(TRACE, OURS, sampled=True), PARENT))
    assert sent == {b"traceparent": b"00-%s-%s-01" % (TRACE, OURS)} | expected


def test_a_call_has_no_b3_headers_if_the_caller_sent_none() -> None:
    sent = with_span([(b"traceparent", b"x")], TraceContext(TRACE, OURS, sampled=True), PARENT)
    assert sent == [(b"traceparent", b"00-%s-%s-01" % (TRACE, OURS))]


def test_a_short_trace_id_is_kept_in_b3_and_padded_in_w3c() -> None:
    sent = dict(with_span([(b"b3", b"x")], TraceContext(SHORT, OURS, sampled=True), PARENT))
    assert sent[b"b3"].startswith(SHORT + b"-")
    assert sent[b"traceparent"] == b"00-%s%s-%s-01" % (b"0" * 16, SHORT, OURS)


def test_a_decision_not_to_sample_is_propagated_with_the_ids_of_the_caller() -> None:
    multi = [(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN)]
    assert unsampled(multi, read(multi), OURS * 2, OURS) == [*multi, (b"x-b3-sampled", b"0")]
    single = [(b"b3", b"%s-%s" % (TRACE, SPAN)), (b"baggage", b"k=v")]
    assert unsampled(single, read(single), OURS * 2, OURS) == [
        (b"baggage", b"k=v"),
        (b"b3", b"%s-%s-0" % (TRACE, SPAN)),
    ]


def test_without_a_trace_the_decision_is_propagated_with_new_ids() -> None:
    assert unsampled([(b"tracestate", b"a=1")], TraceContext(), OURS * 2, PARENT) == [
        (b"tracestate", b"a=1"),
        (b"traceparent", b"00-%s-%s-00" % (OURS * 2, PARENT)),
    ]
