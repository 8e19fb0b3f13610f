"""The log of requests."""

from bookinfo_lab.observe.requests import MeshRequest, Peer, RequestLog


def request(code: int = 200) -> MeshRequest:
    return MeshRequest(
        ended=1.0,
        reporter="source",
        source=Peer(workload="productpage-v1"),
        destination=Peer(workload="details-v1"),
        destination_service="details.default.svc.cluster.local",
        destination_port=9080,
        method="GET",
        code=code,
        flags="-",
        duration=0.01,
        security="mutual_tls",
        trace_id="",
    )


def test_what_was_added_since_a_cursor_is_read_in_order() -> None:
    log = RequestLog()
    log.add(request(200))
    cursor = log.cursor
    log.add(request(201))
    log.add(request(202))

    assert [item.code for item in log.since(cursor)] == [201, 202]
    assert [item.code for item in log.since()] == [200, 201, 202]
    assert log.since(log.cursor) == []


def test_the_oldest_make_room_and_a_cursor_before_them_reads_what_is_left() -> None:
    log = RequestLog(capacity=2)
    cursor = log.cursor
    for code in (200, 201, 202):
        log.add(request(code))

    assert [item.code for item in log.since(cursor)] == [201, 202]


def test_a_subscriber_is_told_of_each_request_until_it_unsubscribes() -> None:
    log = RequestLog()
    told: list[int] = []
    end = log.subscribe(lambda item: told.append(item.code))
    log.add(request(200))
    end()
    log.add(request(201))

    assert told == [200]
