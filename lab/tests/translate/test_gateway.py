"""Gateways. Istio: buildGatewayHTTPRouteConfig, pilot/pkg/networking/core/gateway.go."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate import translate

Rendered = Callable[..., Any]


def gateway(name: str = "edge", hosts: str = "['*']", number: int = 8080, labels: str = "istio: ingressgateway") -> str:
    port = f"{{number: {number}, name: http, protocol: HTTP}}"
    return (
        f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n"
        f"spec: {{selector: {{{labels}}}, servers: [{{port: {port}, hosts: {hosts}}}]}}\n---\n"
    )


def rules(name: str, http: str, hosts: str = "['*']", gateways: str = "[edge]") -> str:
    return (
        f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n"
        f"spec: {{hosts: {hosts}, gateways: {gateways}, http: [{http}]}}\n---\n"
    )


def to(host: str, match: str = "") -> str:
    return f"{{{f'match: [{match}], ' if match else ''}route: [{{destination: {{host: {host}}}}}]}}"


def paths(host: Any) -> list[str]:
    return [route["match"].get("path") or route["match"]["prefix"] for route in host["routes"]]


def test_a_port_opens_when_a_gateway_asks_for_it(rendered: Rendered) -> None:
    assert rendered(proxy="gateway").config.listeners == ()
    assert [item["name"] for item in rendered(gateway(), "gateway").config.listeners] == ["gateway_8080"]


def test_a_gateway_for_other_workloads_opens_nothing(rendered: Rendered) -> None:
    assert rendered(gateway(labels="istio: other"), "gateway").config.listeners == ()


def test_a_port_that_its_gateway_has_not_is_refused(rendered: Rendered) -> None:
    """Istio makes a listener that no Service leads to, and says nothing."""
    with pytest.raises(ManifestError) as caught:
        rendered(gateway(number=443))
    assert (caught.value.code, caught.value.field) == ("port-not-served", "spec.servers[0].port.number")


def test_a_port_that_one_of_its_gateways_has_is_served(topology: Topology) -> None:
    other = replace(topology.gateways[0], name="other", ports={443: ("127.0.0.1", 8443)})
    both = replace(topology, gateways=(*topology.gateways, other))

    configs = translate(both, Rules.parse(read_documents(gateway(number=443), "t")))

    assert [len(configs[name].listeners) for name in ("gateway", "other")] == [0, 1]


def test_a_rule_that_no_port_serves_may_name_what_is_not_there(rendered: Rendered) -> None:
    text = gateway(labels="istio: other") + rules("a", to("nowhere"))
    assert rendered(text, "gateway").config.listeners == ()


def test_rules_for_one_host_are_merged_with_catch_alls_last(rendered: Rendered) -> None:
    text = gateway() + rules("a", to("productpage")) + rules("b", to("reviews", "{uri: {exact: /r}}"))

    assert paths(rendered(text, "gateway").host("*:8080")) == ["/r", "/", "/"]
    regex = text.replace("http: [{route", "http: [{match: [{uri: {regex: '.*'}}], route")
    assert [route["match"].get("path") for route in rendered(regex, "gateway").routes("*:8080")] == ["/r", None, None]


def test_what_no_rule_routes_is_404_and_subject_to_policies(rendered: Rendered) -> None:
    last = rendered(gateway() + rules("a", to("reviews", "{uri: {exact: /r}}")), "gateway").routes("*:8080")[-1]

    assert last["direct_response"] == {"status": 404}


def test_a_rule_is_offered_under_the_narrower_of_its_hosts_and_the_gateways(rendered: Rendered) -> None:
    narrow = gateway(hosts="['shop.example']") + rules("a", to("productpage"))
    wide = gateway() + rules("a", to("productpage"), "[shop.example]")
    other = gateway(hosts="['other.example']") + rules("a", to("productpage"), "[shop.example]")

    assert paths(rendered(narrow, "gateway").host("shop.example:8080")) == ["/", "/"]
    assert paths(rendered(wide, "gateway").host("shop.example:8080")) == ["/", "/"]
    assert [host["name"] for host in rendered(other, "gateway").config.routes["http.8080"]["virtual_hosts"]] == [
        "*:8080"
    ]


def test_a_rule_names_a_gateway_of_its_own_namespace_or_by_both_names(rendered: Rendered) -> None:
    assert (
        len(rendered(gateway() + rules("a", to("reviews"), gateways="[default/edge]"), "gateway").routes("*:8080")) == 2
    )
    assert len(rendered(gateway() + rules("a", to("reviews"), gateways="[./edge]"), "gateway").routes("*:8080")) == 2
    elsewhere = gateway().replace("name: edge", "name: edge, namespace: other")
    bound = rules("a", to("reviews"), gateways="[other/edge]")
    assert len(rendered(gateway() + elsewhere + bound, "gateway").routes("*:8080")) == 2


@pytest.mark.parametrize(
    ("hosts", "served"), [("['*/*']", True), ("['./*']", True), ("['default/*']", True), ("['other/*']", False)]
)
def test_a_server_may_be_for_the_rules_of_one_namespace(rendered: Rendered, hosts: str, served: bool) -> None:
    text = gateway(hosts=hosts) + rules("a", to("reviews", "{uri: {exact: /r}}"))

    assert ("/r" in paths(rendered(text, "gateway").host("*:8080"))) is served


@pytest.mark.parametrize(("exported", "served"), [("'*'", True), ("istio-system", True), ("'.'", False)])
def test_a_rule_has_to_be_exported_to_where_the_gateway_runs(rendered: Rendered, exported: str, served: bool) -> None:
    """PushContext.VirtualServicesForGateway; the gateway's pod counts, not the Gateway that the rule names."""
    rule = rules("a", to("reviews", "{uri: {exact: /r}}")).replace("{hosts", f"{{exportTo: [{exported}], hosts")

    assert ("/r" in paths(rendered(gateway() + rule, "gateway").host("*:8080"))) is served


def test_a_gateway_that_is_not_there_is_refused(rendered: Rendered) -> None:
    """Istio binds the rule to nothing, and says nothing."""
    with pytest.raises(ManifestError) as caught:
        rendered(gateway() + rules("a", to("reviews"), gateways="[other/edge]"))
    assert (caught.value.code, caught.value.field) == ("object-not-found", "spec.gateways[0]")
    match = "{match: [{gateways: [edgy]}], route: [{destination: {host: reviews}}]}"
    with pytest.raises(ManifestError) as caught:
        rendered(gateway() + rules("a", match, gateways="[edge]"))
    assert (caught.value.code, caught.value.field) == ("object-not-found", "spec.http[0].match[0].gateways[0]")


def test_two_ports_that_lead_to_one_address_share_a_listener(topology: Topology) -> None:
    address = ("127.0.0.1", 8080)
    edge = replace(topology.gateways[0], ports={80: address, 8080: address})
    text = gateway() + gateway("second", number=80) + rules("a", to("reviews"), gateways="[edge, second]")

    config = translate(replace(topology, gateways=(edge,)), Rules.parse(read_documents(text, "t")))["gateway"]

    assert len(config.listeners) == 1
    hosts = config.routes["http.8080"]["virtual_hosts"]
    assert [host["name"] for host in hosts] == ["*:8080"], "the first Gateway's port, whichever comes beside it"
