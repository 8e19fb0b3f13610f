"""Which HTTPRoutes hold where, and which are refused. What they do: tests/lab/proxies/test_gateway_api.py."""

from dataclasses import replace
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Gateway, Secret, Topology
from bookinfo_lab.translate import translate, warnings

LISTENER = "{name: http, port: 80, protocol: HTTP}"
OPEN = "{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}"
REVIEWS = '{group: "", kind: Service, name: reviews}'
TO = "backendRefs: [{name: reviews, port: 9080}]"
REVIEWS_CLUSTER = "outbound|9080||reviews.default.svc.cluster.local"


def gateway(listeners: str = LISTENER, more: str = "", namespace: str = "default") -> str:
    return (
        f"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: shop, namespace: {namespace}}}\n"
        f"spec: {{gatewayClassName: istio, {more}listeners: [{listeners}]}}\n---\n"
    )


def route(rules: str = f"{{{TO}}}", parent: str = "{name: shop}", more: str = "", name: str = "a", **other: str) -> str:
    namespace = other.get("namespace", "default")
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{parentRefs: [{parent}], {more}rules: [{rules}]}}\n---\n"
    )


def grant(name: str = "") -> str:
    return (
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: a, namespace: other}\n"
        "spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}], "
        f'to: [{{group: "", kind: Service{name}}}]}}\n---\n'
    )


class Shop:
    """What the Gateway `shop` and the sidecars run."""

    def __init__(self, topology: Topology) -> None:
        ports = {80: ("127.0.0.1", 8081), 443: ("127.0.0.1", 8443), 8080: ("127.0.0.1", 8080)}
        edge = Gateway("shop-istio", "default", {}, "shop-istio", "127.64.0.3", ports, "shop")
        certificate = Secret("a", "default", {"tls.crt": "", "tls.key": ""})
        self.topology = replace(topology, gateways=(*topology.gateways, edge), secrets=(certificate,))

    def configs(self, text: str) -> Any:
        return translate(self.topology, Rules.parse(read_documents(text, "test.yaml")))

    def hosts(self, text: str) -> dict[str, list[Any]]:
        """The routes of the Gateway's one port by domain, without the last one, which says 404."""
        (routes,) = self.configs(text)["shop-istio"].routes.values()
        return {host["domains"][0]: host["routes"][:-1] for host in routes["virtual_hosts"]}

    def outbound(self, text: str, proxy: str) -> list[str]:
        """Where `proxy` sends requests for reviews."""
        virtual_hosts = self.configs(text)[proxy].routes["http_proxy"]["virtual_hosts"]
        routes = next(host["routes"] for host in virtual_hosts if host["name"].startswith("reviews."))
        return [item["route"]["cluster"] for item in routes if "route" in item]

    def error(self, text: str) -> ManifestError:
        with pytest.raises(ManifestError) as caught:
            self.configs(text)
        return caught.value


@pytest.fixture
def shop(topology: Topology) -> Shop:
    return Shop(topology)


# Attachment to a Gateway


def test_a_gateway_listens_where_its_port_leads_to(shop: Shop) -> None:
    (listener,) = shop.configs(gateway())["shop-istio"].listeners

    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8081}


def test_without_a_gateway_its_envoy_listens_nowhere(shop: Shop) -> None:
    assert shop.configs(route(parent=REVIEWS))["shop-istio"].listeners == ()


def test_an_istio_gateway_does_not_reach_the_envoy_of_another_apis_gateway(shop: Shop) -> None:
    istio = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: all}\nspec: {servers: [{port: "
    text = istio + "{number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]}\n"

    assert shop.configs(text)["shop-istio"].listeners == ()


@pytest.mark.parametrize(
    ("listener", "hostnames", "domains"),
    [
        ("", "", {"*": 1}),
        ("hostname: shop.example", "", {"*": 0, "shop.example": 1}),
        ("hostname: '*.example'", "[shop.example, elsewhere.org]", {"*": 0, "*.example": 0, "shop.example": 1}),
        ("hostname: shop.example", "['*.example']", {"*": 0, "shop.example": 1}),
        ("", "['*.example', shop.example]", {"*": 0, "*.example": 1, "shop.example": 1}),
    ],
)
def test_a_route_holds_for_the_hostnames_that_it_has_in_common_with_the_listener(
    shop: Shop, listener: str, hostnames: str, domains: dict[str, int]
) -> None:
    """HTTPRouteSpec.hostnames."""
    text = gateway(LISTENER.replace("}", f", {listener}}}")) + route(
        more=f"hostnames: {hostnames}, " if hostnames else ""
    )

    assert {domain: len(routes) for domain, routes in shop.hosts(text).items()} == domains


ANY_OR_WIDE = f"{LISTENER}, {{name: wide, port: 80, protocol: HTTP, hostname: '*.example'}}"


@pytest.mark.parametrize(
    ("parent", "hostnames", "domains"),
    [
        ("sectionName: wide", "", {"*": 0, "*.example": 1}),
        ("sectionName: wide", "[shop.example]", {"*": 0, "*.example": 0, "shop.example": 1}),
        ("sectionName: http", "", {"*": 1, "*.example": 0}),
        ("sectionName: http", "[shop.example, elsewhere.org]", {"*.example": 0, "shop.example": 0, "elsewhere.org": 1}),
        ("", "", {"*": 1, "*.example": 1}),
    ],
)
def test_a_listener_for_a_wildcard_goes_before_one_for_any_host(
    shop: Shop, parent: str, hostnames: str, domains: dict[str, int]
) -> None:
    """GEP-1713: a request belongs to the listener with the most specific hostname; that of any host is the last."""
    text = gateway(ANY_OR_WIDE) + route(
        parent=f"{{name: shop, {parent}}}", more=f"hostnames: {hostnames}, " if hostnames else ""
    )

    assert {domain: len(routes) for domain, routes in shop.hosts(text).items()} == {"*": 0, **domains}


def test_a_route_of_another_namespace_needs_a_listener_that_takes_it(shop: Shop) -> None:
    """Listener.allowedRoutes."""
    parent = "{name: shop, namespace: default}"
    guest = route(parent=parent, namespace="other")

    assert len(shop.hosts(gateway(OPEN) + guest)["*"]) == 1
    assert shop.error(gateway() + guest).code == "namespace-not-allowed"


# Redirects


@pytest.mark.parametrize(
    ("listener", "redirect", "ports"),
    [
        ("port: 80, protocol: HTTP", "hostname: a.example", [None]),
        ("port: 8080, protocol: HTTP", "hostname: a.example", [8080]),
        ("port: 8080, protocol: HTTP", "hostname: a.example, scheme: https", [None]),
        ("port: 8080, protocol: HTTP", "hostname: a.example, port: 80", [None]),
        ("port: 8080, protocol: HTTP", "path: {type: ReplaceFullPath, replaceFullPath: /a}", [None]),
        ("port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}", "hostname: a.example", [None]),
        ("port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}", "hostname: a.example, port: 443", [None]),
        ("port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}", "hostname: a.example, port: 80", [80]),
    ],
)
def test_a_redirect_to_another_host_keeps_the_listeners_port_but_for_its_schemes_own(
    shop: Shop, listener: str, redirect: str, ports: list[int | None]
) -> None:
    """HTTPRequestRedirectFilter.port."""
    text = gateway(f"{{name: a, {listener}}}")
    text += route(f"{{filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]}}")

    assert [item["redirect"].get("port_redirect") for item in shop.hosts(text)["*"]] == ports


# Backends of another namespace (ReferenceGrant)

FAR = "{backendRefs: [{name: far, namespace: other, port: 9080}]}"


@pytest.mark.parametrize(("granted", "leads_on"), [("", False), (grant(), True), (grant(", name: far"), True)])
def test_a_backend_of_another_namespace_needs_a_grant_there(shop: Shop, granted: str, leads_on: bool) -> None:
    (found,) = shop.hosts(gateway() + route(FAR) + granted)["*"]

    assert ("route" in found) == leads_on
    assert found.get("direct_response") == (None if leads_on else {"status": 500})


@pytest.mark.parametrize("name", ["far.other.svc.cluster.local", "reviews.default.svc.cluster.local"])
def test_a_backend_is_named_as_an_object_and_not_as_a_host(shop: Shop, name: str) -> None:
    """BackendObjectReference.name: no Service has dots in its name, so that one of a VirtualService's form is none."""
    (found,) = shop.hosts(gateway() + route(f"{{backendRefs: [{{name: {name}, port: 9080}}]}}"))["*"]

    assert found["direct_response"] == {"status": 500}


def test_a_grant_for_another_service_does_not_help(shop: Shop) -> None:
    (found,) = shop.hosts(gateway() + route(FAR) + grant(", name: nearer"))["*"]

    assert found["direct_response"] == {"status": 500}


def test_within_the_mesh_no_grant_is_needed(shop: Shop) -> None:
    """GEP-1426: a route of the mesh exposes nothing that could not be called anyway."""
    found = shop.outbound(route(FAR, parent=REVIEWS), "productpage-v1")

    assert found == ["outbound|9080||far.other.svc.cluster.local"]


# Attachment to a Service (GEP-1426)


def test_a_callers_own_routes_go_before_those_beside_the_service(shop: Shop) -> None:
    """Consumer and producer routes; the two are not merged."""
    producer = route("{backendRefs: [{name: ratings, port: 9080}]}", parent=REVIEWS)
    abroad = REVIEWS.replace("}", ", namespace: default}")
    consumer = route(FAR, parent=abroad, namespace="other")

    assert shop.outbound(producer + consumer, "productpage-v1") == ["outbound|9080||ratings.default.svc.cluster.local"]
    assert shop.outbound(producer + consumer, "far-v1") == ["outbound|9080||far.other.svc.cluster.local"]


def test_another_namespaces_routes_do_not_change_ones_calls(shop: Shop) -> None:
    abroad = REVIEWS.replace("}", ", namespace: default}")

    assert shop.outbound(route(FAR, parent=abroad, namespace="other"), "productpage-v1") == [REVIEWS_CLUSTER]


def test_the_port_of_a_parent_limits_the_route_to_it(shop: Shop) -> None:
    parent = '{group: "", kind: Service, name: two-ports, port: 81}'
    hosts = shop.configs(route(parent=parent))["productpage-v1"].routes["http_proxy"]["virtual_hosts"]
    targets = {host["name"]: host["routes"][0]["route"]["cluster"] for host in hosts if "two-ports" in host["name"]}

    assert targets == {
        "two-ports.default.svc.cluster.local:80": "outbound|80||two-ports.default.svc.cluster.local",
        "two-ports.default.svc.cluster.local:81": REVIEWS_CLUSTER,
    }


def test_the_older_of_two_equal_routes_wins_whatever_their_names(shop: Shop) -> None:
    """HTTPRouteRule.matches: creation, which is the change in which a route was applied first; then the name."""
    older, newer = read_documents(route(name="b") + route(FAR, name="a"), "test.yaml")

    def order(*documents: Any) -> list[str]:
        config = translate(shop.topology, Rules.parse([*read_documents(gateway(), "g"), *documents]))["shop-istio"]
        return [item["name"] for item in config.routes["http.80"]["virtual_hosts"][0]["routes"][:-1]]

    assert order(replace(older, created=1), replace(newer, created=2)) == ["default.b.0", "default.a.0"]
    assert order(older, newer) == ["default.a.0", "default.b.0"]


# Errors: see also the golden files of lab/tests/resources/test_error_messages.py


@pytest.mark.parametrize("host", ["reviews", '"*.default.svc.cluster.local"'])
def test_a_virtual_service_and_a_route_for_one_service_are_refused(shop: Shop, host: str) -> None:
    istio = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mine}\n"
        f"spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}\n---\n"
    )

    assert shop.error(istio + route(parent=REVIEWS)).code == "host-already-routed"


def test_a_route_that_leads_nowhere_is_warned_of(topology: Topology) -> None:
    shop = Shop(topology)
    text = gateway() + route("{backendRefs: [{name: nobody, port: 9080}]}") + route(name="good")
    found = warnings(shop.topology, Rules.parse(read_documents(text, "test.yaml")))
    assert found["default/good"] == []
    (line,) = found["default/a"]
    assert line.startswith("warning: httproute/a has an invalid backend, whose requests get 500: Service nobody")
