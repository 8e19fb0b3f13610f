"""The last traces."""

from bookinfo_lab.observe.spans import Span, SpanStore


def span(trace_id: str, start: int = 0) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=f"{start:016x}",
        parent_id="",
        name="GET",
        kind="server",
        start_ns=start,
        end_ns=start + 1,
        error=False,
        resource={"service.name": "reviews"},
        attributes={},
    )


def test_a_traces_spans_are_told_in_the_order_of_their_start() -> None:
    store = SpanStore()
    store.add([span("a", 2), span("b", 0), span("a", 1)])
    assert [item.start_ns for item in store.trace("a")] == [1, 2]
    assert store.trace("nobody") == []


def test_the_trace_that_was_added_to_last_is_the_newest() -> None:
    store = SpanStore()
    store.add([span("a"), span("b"), span("a")])
    assert store.traces() == ["a", "b"]


def test_the_oldest_trace_makes_room() -> None:
    store = SpanStore(max_traces=2)
    store.add([span("a"), span("b"), span("c")])
    assert store.traces() == ["c", "b"]


def test_one_trace_cannot_fill_the_memory() -> None:
    store = SpanStore(max_spans=3)
    store.add(span("a", number) for number in range(10))
    assert len(store.trace("a")) == 3


def test_all_traces_together_cannot_either() -> None:
    store = SpanStore(max_total=5)
    store.add(span(trace, number) for trace in "abc" for number in range(2))
    assert store.traces() == ["c", "b"]
    store.add(span("d", number) for number in range(2))
    assert store.traces() == ["d", "c"]


def test_a_service_is_who_made_the_span() -> None:
    assert span("a").service == "reviews"
