"""The service graph, from what proxies recorded."""

import json
from dataclasses import replace

import pytest

from bookinfo_lab.observe import graph
from bookinfo_lab.observe.graph import Edge, Graph, Node
from bookinfo_lab.observe.requests import MeshRequest, Peer, Security
from bookinfo_lab.resources.topology import Gateway, Service, Topology, Workload

NOW = 1_000_000.0
WINDOW = 10.0

GATEWAY = Peer("istio-ingressgateway", "istio-system", "istio-ingressgateway", "latest")
PRODUCTPAGE = Peer("productpage-v1", "default", "productpage", "v1")
REVIEWS_V1 = Peer("reviews-v1", "default", "reviews", "v1")
REVIEWS_V3 = Peer("reviews-v3", "default", "reviews", "v3")
CLIENT = Peer("client", "default", "client")
NOBODY = Peer()


def workload(name: str, app: str, version: str = "", *, sidecar: bool = True, ready: bool = True) -> Workload:
    return Workload(
        name=f"{name}-pod",
        deployment=name,
        namespace="default",
        labels={"app": app, "version": version},
        service_account="default",
        address="127.64.0.2",
        ports={},
        sidecar=sidecar,
        ready=ready,
    )


TOPOLOGY = Topology(
    services=tuple(Service(name, "default", (), {"app": name}) for name in ("productpage", "reviews", "ratings")),
    workloads=(
        workload("productpage-v1", "productpage", "v1"),
        workload("reviews-v1", "reviews", "v1"),
        workload("reviews-v3", "reviews", "v3"),
        workload("client", "client", sidecar=False),
    ),
    gateways=(Gateway("istio-ingressgateway", "istio-system", {}, "gateway", "127.64.0.1", {}),),
)


def request(
    source: Peer,
    destination: Peer,
    *,
    reporter: str = "source",
    ago: float = 5.0,
    code: int = 200,
    flags: str = "-",
    duration: float = 0.01,
    security: Security = "unknown",
    service: str = "reviews.default.svc.cluster.local",
) -> MeshRequest:
    assert reporter in ("source", "destination")
    return MeshRequest(
        ended=NOW - ago,
        reporter="source" if reporter == "source" else "destination",
        source=source,
        destination=destination,
        destination_service=service,
        destination_port=9080,
        method="GET",
        code=code,
        flags=flags,
        duration=duration,
        security=security,
        trace_id="",
    )


def built(*requests: MeshRequest, window: float = WINDOW) -> Graph:
    return graph.build(requests, graph.inventory(TOPOLOGY), NOW, window)


def only_edge(*requests: MeshRequest) -> Edge:
    (edge,) = built(*requests).edges
    return edge


def test_a_request_that_both_sides_record_counts_once() -> None:
    call = request(PRODUCTPAGE, REVIEWS_V1)
    edge = only_edge(call, replace(call, reporter="destination"))
    assert (edge.source, edge.destination) == ("default/productpage-v1", "default/reviews-v1")
    assert edge.codes == {200: 1}
    assert not edge.hidden


def test_the_callers_record_counts_because_it_knows_that_it_gave_up() -> None:
    edge = only_edge(
        request(PRODUCTPAGE, REVIEWS_V1, code=504, flags="UT", duration=0.5),
        request(PRODUCTPAGE, REVIEWS_V1, reporter="destination", code=200, duration=2.0),
    )
    assert edge.codes == {504: 1}
    assert edge.p99 == 0.5
    assert edge.trouble == "100 % timed out"


def test_the_called_sides_record_counts_where_the_caller_has_no_proxy() -> None:
    edge = only_edge(request(CLIENT, REVIEWS_V1, reporter="destination", code=403, security="none"))
    assert edge.source == "default/client"
    assert (edge.errors, edge.refused, edge.security) == (0.0, 1.0, "none")
    assert not edge.hidden


def test_a_rate_is_over_the_window_and_what_is_older_does_not_count() -> None:
    edge = only_edge(*(request(PRODUCTPAGE, REVIEWS_V1, ago=1 + second) for second in range(12)))
    assert edge.rate == pytest.approx(9 / WINDOW)


def test_the_share_is_of_the_callers_requests_to_that_service() -> None:
    calls = [request(PRODUCTPAGE, REVIEWS_V1) for _ in range(9)]
    calls += [request(PRODUCTPAGE, REVIEWS_V3)]
    calls += [request(PRODUCTPAGE, NOBODY, service="details.default.svc.cluster.local")]
    shares = {edge.destination: edge.share for edge in built(*calls).edges}
    assert shares == {"default/reviews-v1": 0.9, "default/reviews-v3": 0.1, "?details": 1.0}


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0.001), (50, 0.050), (99, 0.099), (100, 0.099), (101, 0.100), (200, 0.198)]
)
def test_p99_is_the_sample_that_99_percent_are_not_above(count: int, expected: float) -> None:
    calls = [request(PRODUCTPAGE, REVIEWS_V1, duration=(number + 1) / 1000) for number in range(count)]
    assert only_edge(*calls).p99 == pytest.approx(expected)


def test_errors_are_answers_from_500_on_and_none_at_all() -> None:
    edge = only_edge(*(request(PRODUCTPAGE, REVIEWS_V1, code=code) for code in (200, 404, 500, 0)))
    assert (edge.errors, edge.refused) == (0.5, 0.25)
    assert edge.trouble == "50 % failed"


def test_what_no_route_fitted_was_meant_for_nobody_and_the_caller_stays_who_it_is() -> None:
    found = built(request(NOBODY, NOBODY, code=404, flags="NR", service="unknown"))
    (edge,) = found.edges
    nodes = {node.id: node for node in found.nodes}
    assert (nodes[edge.source].kind, nodes[edge.source].service) == ("external", "somebody")
    assert (nodes[edge.destination].kind, nodes[edge.destination].service) == ("nobody", "no route")


def test_an_injected_abort_is_seen_at_the_caller_and_asks_nobody() -> None:
    found = built(
        request(PRODUCTPAGE, NOBODY, code=500, flags="FI"),
        request(PRODUCTPAGE, REVIEWS_V1, flags="DI", duration=7.0),
        request(PRODUCTPAGE, REVIEWS_V1, reporter="destination"),
    )
    by_destination = {edge.destination: edge for edge in found.edges}
    assert by_destination["?reviews"].trouble == "50 % aborted"  # of all calls of reviews
    assert by_destination["default/reviews-v1"].trouble == "100 % delayed"
    (nobody,) = (node for node in found.nodes if node.id == "?reviews")
    assert (nobody.kind, nobody.service) == ("nobody", "reviews")


def test_who_is_no_workload_and_no_service_of_the_lab_stands_outside() -> None:
    found = built(request(PRODUCTPAGE, NOBODY, service="books.example"))
    (outside,) = (node for node in found.nodes if node.id == "?books.example")
    assert (outside.kind, outside.service, outside.column) == ("external", "books.example", 2)


def test_what_only_the_called_side_recorded_is_hidden_and_no_share() -> None:
    found = built(
        request(PRODUCTPAGE, REVIEWS_V1),
        request(PRODUCTPAGE, REVIEWS_V1, reporter="destination"),
        request(PRODUCTPAGE, REVIEWS_V3, reporter="destination"),
    )
    edges = {edge.destination: edge for edge in found.edges}
    assert {name: edge.hidden for name, edge in edges.items()} == {
        "default/reviews-v1": False,
        "default/reviews-v3": True,
    }
    assert edges["default/reviews-v1"].share == 1.0


def test_a_called_sides_record_waits_for_its_callers_before_it_is_taken_for_hidden() -> None:
    assert built(request(PRODUCTPAGE, REVIEWS_V3, reporter="destination", ago=1.0)).edges == ()
    assert built(request(PRODUCTPAGE, REVIEWS_V3, reporter="destination", ago=3.0)).edges[0].hidden


def test_a_callers_record_that_has_just_left_the_window_still_tells_that_the_edge_is_not_hidden() -> None:
    found = built(
        request(PRODUCTPAGE, REVIEWS_V1, ago=10.5, code=504, flags="UT"),
        request(PRODUCTPAGE, REVIEWS_V1, reporter="destination", ago=9.0),
    )
    assert found.edges == ()


def test_security_is_what_the_called_side_saw_for_a_caller_cannot_tell() -> None:
    edge = only_edge(
        request(PRODUCTPAGE, REVIEWS_V1),
        request(PRODUCTPAGE, REVIEWS_V1, reporter="destination", security="mutual_tls"),
    )
    assert edge.security == "mutual_tls"


def test_a_change_of_security_within_the_window_is_mixed() -> None:
    calls = [request(CLIENT, REVIEWS_V1, reporter="destination", security=kind) for kind in ("none", "mutual_tls")]
    assert only_edge(*calls).security == "mixed"


def test_what_stands_in_the_lab_is_a_node_before_anybody_calls_it() -> None:
    found = built()
    assert [(node.id, node.kind, node.column) for node in found.nodes] == [
        ("istio-system/istio-ingressgateway", "gateway", 0),
        ("default/client", "client", 0),
        ("default/productpage-v1", "service", 1),
        ("default/reviews-v1", "service", 2),
        ("default/reviews-v3", "service", 2),
    ]


def test_a_node_counts_its_pods_and_the_ready_ones() -> None:
    two = (workload("reviews-v1", "reviews", "v1"), workload("reviews-v1", "reviews", "v1", ready=False))
    (node,) = graph.inventory(replace(TOPOLOGY, workloads=two, gateways=()))
    assert (node.pods, node.ready) == (2, 1)


def test_a_workload_that_is_gone_stays_for_as_long_as_its_requests_do() -> None:
    found = built(request(Peer("sleep", "default", "sleep"), REVIEWS_V1, reporter="destination"))
    (gone,) = (node for node in found.nodes if node.workload == "sleep")
    assert (gone.pods, gone.column) == (0, 0)


def test_callers_stand_left_of_whom_they_call_also_where_calls_lead_in_a_circle() -> None:
    one, two, three = (Peer(name, "default", name, "v1") for name in ("one", "two", "three"))
    calls = [(PRODUCTPAGE, one), (one, two), (two, three), (three, one)]
    found = built(*(request(source, target, service=f"{target.service}.example") for source, target in calls))
    columns = {node.workload: node.column for node in found.nodes}
    assert columns["productpage-v1"] < columns["one"] < columns["two"] < columns["three"]


def test_the_rate_from_outside_is_that_of_those_whom_nobody_calls() -> None:
    found = built(
        *(request(GATEWAY, PRODUCTPAGE, service="productpage.default.svc.cluster.local") for _ in range(20)),
        *(request(PRODUCTPAGE, REVIEWS_V1) for _ in range(20)),
    )
    assert found.rate == pytest.approx(2.0)


def test_what_a_gateway_mirrors_did_not_come_from_outside_once_more() -> None:
    found = built(
        *(request(GATEWAY, PRODUCTPAGE, service="productpage.default.svc.cluster.local") for _ in range(20)),
        *(request(GATEWAY, REVIEWS_V3, reporter="destination") for _ in range(20)),
    )
    assert found.rate == pytest.approx(2.0)


def test_json_leads_there_and_back() -> None:
    found = built(request(PRODUCTPAGE, REVIEWS_V1, flags="DI,UT", code=504), request(GATEWAY, PRODUCTPAGE))
    assert graph.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_json_tells_what_envoys_flags_mean() -> None:
    (edge,) = built(request(PRODUCTPAGE, REVIEWS_V1, flags="DI,XX")).as_json()["edges"]
    assert edge["says"] == ["1 × DI, delayed on purpose", "1 × XX, XX"]
    assert edge["injected"] is True


def test_nodes_are_values() -> None:
    node = Node("a/b", "service", "b", "v1", "b", "a", sidecar=True)
    assert replace(node, column=1) != node
