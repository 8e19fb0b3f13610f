"""Listeners and routes of Istio Gateways. Istio: buildGatewayHTTPRouteConfig, pilot/pkg/networking/core/gateway.go."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate import translate

Translated = Callable[..., Any]


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


def test_gateway_resource_opens_its_port(translated: Translated) -> None:
    assert translated(proxy="gateway").config.listeners == ()
    assert [item["name"] for item in translated(gateway(), "gateway").config.listeners] == ["gateway_8080"]


def test_gateway_resource_for_other_workloads_opens_no_port(translated: Translated) -> None:
    assert translated(gateway(labels="istio: other"), "gateway").config.listeners == ()


def test_port_that_no_gateway_has_is_rejected(translated: Translated) -> None:
    """Istio silently creates a listener that no Service exposes."""
    with pytest.raises(ManifestError) as caught:
        translated(gateway(number=443))
    assert (caught.value.code, caught.value.field) == ("port-not-served", "spec.servers[0].port.number")


def test_port_that_one_of_several_gateways_has_is_served(topology: Topology) -> None:
    other = replace(topology.gateways[0], name="other", ports={443: ("127.0.0.1", 8443)})
    both = replace(topology, gateways=(*topology.gateways, other))

    configs = translate(both, Rules.parse(read_documents(gateway(number=443), "t")))

    assert [len(configs[name].listeners) for name in ("gateway", "other")] == [0, 1]


def test_rule_of_unserved_gateway_can_name_a_missing_host(translated: Translated) -> None:
    text = gateway(labels="istio: other") + rules("a", to("nowhere"))
    assert translated(text, "gateway").config.listeners == ()


def test_rules_for_one_host_are_merged_with_catch_all_routes_last(translated: Translated) -> None:
    text = gateway() + rules("a", to("productpage")) + rules("b", to("reviews", "{uri: {exact: /r}}"))

    assert paths(translated(text, "gateway").host("*:8080")) == ["/r", "/", "/"]
    regex = text.replace("http: [{route", "http: [{match: [{uri: {regex: '.*'}}], route")
    assert [route["match"].get("path") for route in translated(regex, "gateway").routes("*:8080")] == ["/r", None, None]


def test_request_that_matches_no_rule_is_404(translated: Translated) -> None:
    last = translated(gateway() + rules("a", to("reviews", "{uri: {exact: /r}}")), "gateway").routes("*:8080")[-1]

    assert last["direct_response"] == {"status": 404}


def test_narrower_host_of_rule_and_gateway_is_served(translated: Translated) -> None:
    narrow = gateway(hosts="['shop.example']") + rules("a", to("productpage"))
    wide = gateway() + rules("a", to("productpage"), "[shop.example]")
    other = gateway(hosts="['other.example']") + rules("a", to("productpage"), "[shop.example]")

    assert paths(translated(narrow, "gateway").host("shop.example:8080")) == ["/", "/"]
    assert paths(translated(wide, "gateway").host("shop.example:8080")) == ["/", "/"]
    assert [host["name"] for host in translated(other, "gateway").config.routes["http.8080"]["virtual_hosts"]] == [
        "*:8080"
    ]


def test_gateway_reference_can_have_a_namespace(translated: Translated) -> None:
    assert (
        len(translated(gateway() + rules("a", to("reviews"), gateways="[default/edge]"), "gateway").routes("*:8080"))
        == 2
    )
    assert len(translated(gateway() + rules("a", to("reviews"), gateways="[./edge]"), "gateway").routes("*:8080")) == 2
    elsewhere = gateway().replace("name: edge", "name: edge, namespace: other")
    bound = rules("a", to("reviews"), gateways="[other/edge]")
    assert len(translated(gateway() + elsewhere + bound, "gateway").routes("*:8080")) == 2


@pytest.mark.parametrize(
    ("hosts", "served"), [("['*/*']", True), ("['./*']", True), ("['default/*']", True), ("['other/*']", False)]
)
def test_server_host_can_be_limited_to_one_namespace(translated: Translated, hosts: str, served: bool) -> None:
    text = gateway(hosts=hosts) + rules("a", to("reviews", "{uri: {exact: /r}}"))

    assert ("/r" in paths(translated(text, "gateway").host("*:8080"))) is served


@pytest.mark.parametrize(("exported", "served"), [("'*'", True), ("istio-system", True), ("'.'", False)])
def test_rule_must_be_exported_to_the_namespace_of_the_gateway(
    translated: Translated, exported: str, served: bool
) -> None:
    """PushContext.VirtualServicesForGateway uses the namespace of the pod, not of the Gateway resource."""
    rule = rules("a", to("reviews", "{uri: {exact: /r}}")).replace("{hosts", f"{{exportTo: [{exported}], hosts")

    assert ("/r" in paths(translated(gateway() + rule, "gateway").host("*:8080"))) is served


def test_missing_gateway_is_rejected(translated: Translated) -> None:
    """Istio silently ignores the rule."""
    with pytest.raises(ManifestError) as caught:
        translated(gateway() + rules("a", to("reviews"), gateways="[other/edge]"))
    assert (caught.value.code, caught.value.field) == ("object-not-found", "spec.gateways[0]")
    match = "{match: [{gateways: [edgy]}], route: [{destination: {host: reviews}}]}"
    with pytest.raises(ManifestError) as caught:
        translated(gateway() + rules("a", match, gateways="[edge]"))
    assert (caught.value.code, caught.value.field) == ("object-not-found", "spec.http[0].match[0].gateways[0]")


def test_ports_with_one_address_share_a_listener(topology: Topology) -> None:
    address = ("127.0.0.1", 8080)
    edge = replace(topology.gateways[0], ports={80: address, 8080: address})
    text = gateway() + gateway("second", number=80) + rules("a", to("reviews"), gateways="[edge, second]")

    config = translate(replace(topology, gateways=(edge,)), Rules.parse(read_documents(text, "t")))["gateway"]

    assert len(config.listeners) == 1
    hosts = config.routes["http.8080"]["virtual_hosts"]
    assert [host["name"] for host in hosts] == ["*:8080"], "the name has the port of the first Gateway"
