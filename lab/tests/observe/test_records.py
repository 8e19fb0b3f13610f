"""What proxies' records say."""

import json
from typing import Any

import pytest

from bookinfo_lab.observe.records import Registry, read
from bookinfo_lab.observe.requests import MeshRequest, Peer
from bookinfo_lab.resources.topology import Gateway, Proxy, Service, ServicePort, Workload

PRODUCTPAGE = Workload(
    "productpage-v1-x", "productpage-v1", "default", {"app": "productpage", "version": "v1"}, "sa-p", "127.64.0.3", {}
)
REVIEWS = Workload(
    "reviews-v2-x", "reviews-v2", "default", {"app": "reviews", "version": "v2"}, "sa-r", "127.64.0.4", {"http": 9080}
)
EDGE = Gateway("edge", "istio-system", {"app": "edge"}, "sa-e", "127.64.0.2", {8080: ("127.0.0.1", 8080)})
SERVICE = Service("reviews", "default", (ServicePort(80, "http", "http"),), {"app": "reviews"})
HOST = "reviews.default.svc.cluster.local"

ANSWERED = {
    "start": "1700000000.500000",
    "microseconds": 250_000,
    "milliseconds": 250,
    "method": "GET",
    "host": "reviews:80",
    "code": 200,
    "flags": "-",
    "cluster": f"outbound|80|v2|{HOST}",
    "callee": "127.64.0.4:9080",
    "callee_id": REVIEWS.spiffe_id,
    "caller": "127.0.0.1",
    "caller_id": None,
    "tls": None,
    "port": 15080,
    "trace": "a" * 32,
    "received": 0,
    "sent": 377,
    "reporter": "source",
}
ACCEPTED = ANSWERED | {
    "cluster": "inbound|9080||",
    "callee": "app.sock",
    "callee_id": None,
    "caller": "127.64.0.3",
    "caller_id": PRODUCTPAGE.spiffe_id,
    "tls": "TLSv1.3",
    "port": 9080,
    "reporter": "destination",
}


@pytest.fixture
def registry() -> Registry:
    found = Registry(lambda: (SERVICE,))
    for proxy in (PRODUCTPAGE, REVIEWS, EDGE):
        found.add(proxy)
    return found


def told(record: dict[str, Any], proxy: Proxy, registry: Registry) -> MeshRequest:
    request = read(json.dumps(record).encode(), proxy, registry)
    assert request is not None
    return request


def test_a_callers_proxy_tells_whom_it_asked_and_how_it_ended(registry: Registry) -> None:
    request = told(ANSWERED, PRODUCTPAGE, registry)

    assert request.source == Peer("productpage-v1", "default", "productpage", "v1", PRODUCTPAGE.spiffe_id)
    assert request.destination == Peer("reviews-v2", "default", "reviews", "v2", REVIEWS.spiffe_id)
    assert (request.destination_service, request.destination_port) == (HOST, 80)
    assert (request.ended, request.duration) == (1700000000.75, 0.25)
    assert (request.code, request.flags, request.response_bytes) == (200, "-", 377)
    assert request.security == "unknown"


def test_a_called_proxy_knows_its_caller_by_address_and_the_policy_of_the_connection(registry: Registry) -> None:
    request = told(ACCEPTED, REVIEWS, registry)

    assert request.source == Peer("productpage-v1", "default", "productpage", "v1", PRODUCTPAGE.spiffe_id)
    assert request.destination.principal == REVIEWS.spiffe_id
    assert (request.destination_service, request.destination_port) == (HOST, 80)
    assert request.security == "mutual_tls"


def test_a_caller_in_plaintext_has_no_principal_and_from_elsewhere_no_name(registry: Registry) -> None:
    request = told(ACCEPTED | {"caller": "127.0.0.1", "caller_id": None, "tls": None}, REVIEWS, registry)

    assert request.source == Peer()
    assert request.destination.principal == "unknown"
    assert request.security == "none"


def test_a_fault_that_is_injected_is_told_of_the_host_where_no_instance_was_asked(registry: Registry) -> None:
    fault = {"callee": None, "callee_id": None, "code": 500, "flags": "FI"}
    request = told(ANSWERED | fault, PRODUCTPAGE, registry)

    assert request.destination == Peer()
    assert request.destination_service == HOST
    assert (request.code, request.flags) == (500, "FI")


def test_a_request_without_an_answer_has_the_duration_that_there_is(registry: Registry) -> None:
    request = told(ANSWERED | {"microseconds": None, "code": 0, "flags": "DC"}, PRODUCTPAGE, registry)

    assert (request.code, request.duration) == (0, 0.25)


def test_a_host_that_no_cluster_stands_for_is_found_by_the_name_that_the_caller_used(registry: Registry) -> None:
    request = told(ANSWERED | {"cluster": None, "callee": None}, PRODUCTPAGE, registry)

    assert (request.destination_service, request.destination_port) == (HOST, 80)


@pytest.mark.parametrize(
    ("cluster", "name"), [("PassthroughCluster", "PassthroughCluster"), (None, "BlackHoleCluster")]
)
def test_a_host_outside_the_registry_has_istios_name_for_such(
    registry: Registry, cluster: str | None, name: str
) -> None:
    request = told(
        ANSWERED | {"cluster": cluster, "callee": None, "host": "Elsewhere.example:81"}, PRODUCTPAGE, registry
    )

    assert request.destination == Peer(service=name)
    assert request.destination_service == "elsewhere.example"


def test_what_a_gateway_has_no_rule_for_is_for_nobody_whatever_host_the_browser_named(registry: Registry) -> None:
    nowhere = {"cluster": None, "callee": None, "callee_id": None, "host": "x.example", "code": 404}
    request = told(ANSWERED | nowhere, EDGE, registry)

    assert (request.destination, request.destination_service) == (Peer(), "unknown")


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b"{}", json.dumps(ANSWERED | {"code": "x"}).encode()])
def test_what_is_no_record_is_left_out(registry: Registry, line: bytes) -> None:
    assert read(line, PRODUCTPAGE, registry) is None


def test_an_address_is_its_last_owners_until_another_has_it(registry: Registry) -> None:
    assert registry.peer("127.64.0.4", "").workload == "reviews-v2"
    registry.add(Workload("new", "reviews-v3", "default", {"app": "reviews"}, "sa", "127.64.0.4", {}))
    assert registry.peer("127.64.0.4", "").workload == "reviews-v3"
