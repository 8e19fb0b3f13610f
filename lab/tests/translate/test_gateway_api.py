"""Which HTTPRoutes apply where. tests/lab/proxies/test_gateway_api.py tests their effects on requests."""

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
    """The configuration of the Gateway `shop` and of the sidecars."""

    def __init__(self, topology: Topology) -> None:
        ports = {80: ("127.0.0.1", 8081), 443: ("127.0.0.1", 8443), 8080: ("127.0.0.1", 8080)}
        edge = Gateway("shop-istio", "default", {}, "shop-istio", "127.64.0.3", ports, "shop")
        certificate = Secret("a", "default", {"tls.crt": "", "tls.key": ""})
        self.topology = replace(topology, gateways=(*topology.gateways, edge), secrets=(certificate,))

    def configs(self, text: str) -> Any:
        return translate(self.topology, Rules.parse(read_documents(text, "test.yaml")))

    def hosts(self, text: str) -> dict[str, list[Any]]:
        """The routes of the Gateway's only port by domain, without the last one (404)."""
        (routes,) = self.configs(text)["shop-istio"].routes.values()
        return {host["domains"][0]: host["routes"][:-1] for host in routes["virtual_hosts"]}

    def outbound(self, text: str, proxy: str) -> list[str]:
        """The clusters to which `proxy` routes requests for reviews."""
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


def test_gateway_listens_at_the_address_of_its_port(shop: Shop) -> None:
    (listener,) = shop.configs(gateway())["shop-istio"].listeners

    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8081}


def test_envoy_without_gateway_resource_has_no_listener(shop: Shop) -> None:
    assert shop.configs(route(parent=REVIEWS))["shop-istio"].listeners == ()


def test_istio_gateway_does_not_configure_the_envoy_of_an_api_gateway(shop: Shop) -> None:
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
def test_route_applies_to_hostnames_in_common_with_the_listener(
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
def test_wildcard_listener_precedes_listener_for_any_host(
    shop: Shop, parent: str, hostnames: str, domains: dict[str, int]
) -> None:
    """GEP-1713: a request belongs to the listener with the most specific hostname. A listener for any host is last."""
    text = gateway(ANY_OR_WIDE) + route(
        parent=f"{{name: shop, {parent}}}", more=f"hostnames: {hostnames}, " if hostnames else ""
    )

    assert {domain: len(routes) for domain, routes in shop.hosts(text).items()} == {"*": 0, **domains}


def test_route_of_another_namespace_requires_an_allowing_listener(shop: Shop) -> None:
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
def test_redirect_to_another_host_keeps_the_listener_port_unless_default(
    shop: Shop, listener: str, redirect: str, ports: list[int | None]
) -> None:
    """HTTPRequestRedirectFilter.port."""
    text = gateway(f"{{name: a, {listener}}}")
    text += route(f"{{filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]}}")

    assert [item["redirect"].get("port_redirect") for item in shop.hosts(text)["*"]] == ports


# Backends of another namespace (ReferenceGrant)

FAR = "{backendRefs: [{name: far, namespace: other, port: 9080}]}"


@pytest.mark.parametrize(("granted", "leads_on"), [("", False), (grant(), True), (grant(", name: far"), True)])
def test_backend_in_another_namespace_requires_a_grant(shop: Shop, granted: str, leads_on: bool) -> None:
    (found,) = shop.hosts(gateway() + route(FAR) + granted)["*"]

    assert ("route" in found) == leads_on
    assert found.get("direct_response") == (None if leads_on else {"status": 500})


@pytest.mark.parametrize("name", ["far.other.svc.cluster.local", "reviews.default.svc.cluster.local"])
def test_backend_name_with_dots_is_not_a_host(shop: Shop, name: str) -> None:
    """BackendObjectReference.name is the name of a Service, which contains no dots."""
    (found,) = shop.hosts(gateway() + route(f"{{backendRefs: [{{name: {name}, port: 9080}}]}}"))["*"]

    assert found["direct_response"] == {"status": 500}


def test_grant_for_another_service_does_not_apply(shop: Shop) -> None:
    (found,) = shop.hosts(gateway() + route(FAR) + grant(", name: nearer"))["*"]

    assert found["direct_response"] == {"status": 500}


def test_no_grant_is_required_within_the_mesh(shop: Shop) -> None:
    """GEP-1426: callers within the mesh can call every Service anyway."""
    found = shop.outbound(route(FAR, parent=REVIEWS), "productpage-v1")

    assert found == ["outbound|9080||far.other.svc.cluster.local"]


# Attachment to a Service (GEP-1426)


def test_consumer_routes_replace_producer_routes(shop: Shop) -> None:
    """Consumer and producer routes are not merged."""
    producer = route("{backendRefs: [{name: ratings, port: 9080}]}", parent=REVIEWS)
    abroad = REVIEWS.replace("}", ", namespace: default}")
    consumer = route(FAR, parent=abroad, namespace="other")

    assert shop.outbound(producer + consumer, "productpage-v1") == ["outbound|9080||ratings.default.svc.cluster.local"]
    assert shop.outbound(producer + consumer, "far-v1") == ["outbound|9080||far.other.svc.cluster.local"]


def test_routes_of_another_namespace_do_not_apply_to_callers(shop: Shop) -> None:
    abroad = REVIEWS.replace("}", ", namespace: default}")

    assert shop.outbound(route(FAR, parent=abroad, namespace="other"), "productpage-v1") == [REVIEWS_CLUSTER]


def test_route_applies_only_to_the_port_of_its_parent(shop: Shop) -> None:
    parent = '{group: "", kind: Service, name: two-ports, port: 81}'
    hosts = shop.configs(route(parent=parent))["productpage-v1"].routes["http_proxy"]["virtual_hosts"]
    targets = {host["name"]: host["routes"][0]["route"]["cluster"] for host in hosts if "two-ports" in host["name"]}

    assert targets == {
        "two-ports.default.svc.cluster.local:80": "outbound|80||two-ports.default.svc.cluster.local",
        "two-ports.default.svc.cluster.local:81": REVIEWS_CLUSTER,
    }


def test_older_of_two_equal_routes_wins(shop: Shop) -> None:
    """HTTPRouteRule.matches: by creation, which is the change that first applied the route, then by name."""
    older, newer = read_documents(route(name="b") + route(FAR, name="a"), "test.yaml")

    def order(*documents: Any) -> list[str]:
        config = translate(shop.topology, Rules.parse([*read_documents(gateway(), "g"), *documents]))["shop-istio"]
        return [item["name"] for item in config.routes["http.80"]["virtual_hosts"][0]["routes"][:-1]]

    assert order(replace(older, created=1), replace(newer, created=2)) == ["default.b.0", "default.a.0"]
    assert order(older, newer) == ["default.a.0", "default.b.0"]


# Errors: see also the golden files of lab/tests/resources/test_error_messages.py


@pytest.mark.parametrize("host", ["reviews", '"*.default.svc.cluster.local"'])
def test_virtual_service_and_http_route_for_one_service_are_rejected(shop: Shop, host: str) -> None:
    istio = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mine}\n"
        f"spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}\n---\n"
    )

    assert shop.error(istio + route(parent=REVIEWS)).code == "host-already-routed"


def test_route_with_invalid_backend_has_a_warning(topology: Topology) -> None:
    shop = Shop(topology)
    text = gateway() + route("{backendRefs: [{name: nobody, port: 9080}]}") + route(name="good")
    found = warnings(shop.topology, Rules.parse(read_documents(text, "test.yaml")))
    assert found["default/good"] == []
    (line,) = found["default/a"]
    assert line.startswith("warning: httproute/a has an invalid backend, whose requests get 500: Service nobody")
