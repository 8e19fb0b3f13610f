"""Network policies: they allow only the edges of the graph and the infrastructure flows of the mesh mode."""

import ipaddress
import itertools
from dataclasses import dataclass, field

import pytest
from charts.tests.rendering import GRAPH, SERVICES, Helm, Object, Objects, Overlay, named, of_kind, released

PORT = {"none": 9080, "sidecar": 9080, "ambient": 15008}
VALUES = {"none": "production", "sidecar": "sidecar", "ambient": "ambient-routes"}


@dataclass(frozen=True)
class Peer:
    """A peer on the network: a pod in the release's namespace, a pod in another namespace, or an address."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "default"
    address: str = ""


def pod(app: str) -> Peer:
    return Peer({"app": app})


WAYPOINT = Peer({"gateway.networking.k8s.io/gateway-name": "bookinfo-waypoint"})
GATEWAY = Peer({"gateway.networking.k8s.io/gateway-name": "bookinfo-gateway"})
ISTIO_GATEWAY = Peer({"istio": "ingress"}, "istio-ingress")
ISTIOD = Peer({"app": "istiod"}, "istio-system")
DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
PROMETHEUS = Peer({"app": "prometheus"}, "monitoring")
COLLECTOR = Peer({"app": "otel-collector"}, "observability")
KUBELET_IN_AMBIENT = Peer(address="169.254.7.127")
STRANGER = Peer({"app": "stranger"})
NEIGHBOR = Peer({"app": "reviews"}, "neighbors")


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Return whether a label selector matches the labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )


def matches_peer(entry: Object, peer: Peer) -> bool:
    """Return whether an entry of `from` or `to` matches the peer."""
    if "ipBlock" in entry:
        return bool(peer.address) and ipaddress.ip_address(peer.address) in ipaddress.ip_network(
            entry["ipBlock"]["cidr"]
        )
    if peer.address:
        return False
    namespace = entry.get("namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": "default"}})
    return selects(namespace, {"kubernetes.io/metadata.name": peer.namespace}) and selects(
        entry.get("podSelector", {}), peer.labels
    )


def allows(objects: Objects, app: str, direction: str, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether the policies that select the pods of `app` allow a connection, like Kubernetes decides."""
    specs = [
        item["spec"] for item in of_kind(objects, "NetworkPolicy") if selects(item["spec"]["podSelector"], {"app": app})
    ]
    specs = [spec for spec in specs if direction in spec["policyTypes"]]
    key = {"Ingress": "from", "Egress": "to"}[direction]
    return not specs or any(
        any(matches_peer(entry, peer) for entry in rule[key]) and {"protocol": protocol, "port": port} in rule["ports"]
        for spec in specs
        for rule in spec.get(direction.lower()) or []
    )


@pytest.fixture(params=["none", "sidecar", "ambient"])
def mode(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def rendered(overlay: Overlay, mode: str) -> Objects:
    """A release with network policies in the mesh mode, without the objects of `helm test`."""
    return released(overlay(VALUES[mode]))


def open_edges(objects: Objects, direction: str, port: int) -> set[tuple[str, str]]:
    """Return the edges that are allowed at one end: at the caller (Egress) or at the called service (Ingress)."""
    edges = set()
    for caller, service in itertools.product(SERVICES, SERVICES):
        app, other = (caller, service) if direction == "Egress" else (service, caller)
        if allows(objects, app, direction, pod(other), port):
            edges.add((caller, service))
    return edges


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
@pytest.mark.parametrize(("values", "port"), [("production", 9080), ("sidecar", 9080), ("ambient-plain", 15008)])
def test_network_policies_allow_exactly_the_edges_of_the_graph(
    overlay: Overlay, values: str, port: int, direction: str
) -> None:
    assert open_edges(released(overlay(values)), direction, port) == GRAPH


def test_connections_go_through_the_waypoint_if_there_is_one(overlay: Overlay) -> None:
    rendered = released(overlay("ambient-routes"))
    callers = {service for service in SERVICES if allows(rendered, service, "Egress", WAYPOINT, 15008)}
    assert callers == {caller for caller, _ in GRAPH}
    assert [service for service in SERVICES if not allows(rendered, service, "Ingress", WAYPOINT, 15008)] == []
    assert open_edges(rendered, "Ingress", 15008) == open_edges(rendered, "Egress", 15008) == set()


def test_pods_in_ambient_mode_accept_only_the_tunnel_port(overlay: Overlay) -> None:
    for values in ("ambient-routes", "ambient-plain"):
        assert open_edges(released(overlay(values)), "Ingress", 9080) == set()


def test_gateway_may_connect_only_to_productpage(rendered: Objects, mode: str) -> None:
    gateway = {"none": None, "sidecar": ISTIO_GATEWAY, "ambient": GATEWAY}[mode]
    if gateway:
        allowed = [service for service in SERVICES if allows(rendered, service, "Ingress", gateway, PORT[mode])]
        assert allowed == ["productpage"]


def test_other_pods_and_other_namespaces_are_denied(rendered: Objects, mode: str) -> None:
    for service in SERVICES:
        for peer in (STRANGER, NEIGHBOR):
            assert not allows(rendered, service, "Ingress", peer, PORT[mode])
            assert not allows(rendered, service, "Egress", peer, PORT[mode])


FLOWS = [
    ("DNS over UDP", {"none", "sidecar", "ambient"}, "Egress", DNS, 53, "UDP"),
    ("DNS over TCP", {"none", "sidecar", "ambient"}, "Egress", DNS, 53, "TCP"),
    ("control plane", {"sidecar"}, "Egress", ISTIOD, 15012, "TCP"),
    ("probes", {"ambient"}, "Ingress", KUBELET_IN_AMBIENT, 9080, "TCP"),
    ("scraping", {"none", "ambient"}, "Ingress", PROMETHEUS, 9080, "TCP"),
    ("scraping of sidecars", {"sidecar"}, "Ingress", PROMETHEUS, 15020, "TCP"),
    ("scraping through the tunnel", {"ambient"}, "Ingress", PROMETHEUS, 15008, "TCP"),
    ("traces over gRPC", {"none", "sidecar", "ambient"}, "Egress", COLLECTOR, 4317, "TCP"),
    ("traces over HTTP", {"none", "sidecar", "ambient"}, "Egress", COLLECTOR, 4318, "TCP"),
    ("traces through the tunnel", {"ambient"}, "Egress", COLLECTOR, 15008, "TCP"),
]


@pytest.mark.parametrize(
    ("flow", "modes", "direction", "peer", "port", "protocol"), FLOWS, ids=[row[0] for row in FLOWS]
)
def test_infrastructure_flow_is_open_only_in_its_modes(
    rendered: Objects, mode: str, flow: str, modes: set[str], direction: str, peer: Peer, port: int, protocol: str
) -> None:
    allowed = {service: allows(rendered, service, direction, peer, port, protocol) for service in SERVICES}
    assert allowed == dict.fromkeys(SERVICES, mode in modes)


def test_flows_can_be_removed_and_added(helm: Helm) -> None:
    books = {
        "modes": ["none"],
        "direction": "egress",
        "peers": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 443}],
    }
    rendered = helm.render({"networkPolicy": {"enabled": True, "flows": {"scraping": None, "books": books}}})
    assert not allows(rendered, "details", "Ingress", PROMETHEUS, 9080)
    assert allows(rendered, "details", "Egress", Peer(address="203.0.113.7"), 443)


@pytest.mark.parametrize(
    ("flow", "address", "port", "open_to"),
    [("nodeLocalDns", "169.254.20.10", 53, SERVICES), ("externalBooks", "203.0.113.7", 443, ("details",))],
)
def test_optional_flow_is_closed_until_the_mesh_mode_is_added(
    helm: Helm, flow: str, address: str, port: int, open_to: tuple[str, ...]
) -> None:
    def services_with_access(flows: Object) -> list[str]:
        rendered = helm.render({"networkPolicy": {"enabled": True, "flows": flows}})
        return [name for name in SERVICES if allows(rendered, name, "Egress", Peer(address=address), port)]

    assert services_with_access({}) == []
    assert services_with_access({flow: {"modes": ["none"]}}) == list(open_to)


def test_ingress_controller_and_additional_peers_may_call_productpage(overlay: Overlay) -> None:
    rendered = released(overlay("ingress"))
    for peer in (Peer({"app": "controller"}, "ingress-nginx"), Peer(address="10.1.2.3")):
        assert allows(rendered, "productpage", "Ingress", peer, 9080)
        assert not allows(rendered, "reviews", "Ingress", peer, 9080)


@pytest.mark.parametrize(("account", "port"), [("", 9080), ("nginx", 15008)])
def test_ingress_controller_in_ambient_mode_uses_the_tunnel_port_only_inside_the_mesh(
    helm: Helm, account: str, port: int
) -> None:
    ingress = {"enabled": True, "serviceAccount": account}
    rendered = helm.render({"mesh": {"mode": "ambient"}, "ingress": ingress, "networkPolicy": {"enabled": True}})
    controller = Peer({"app": "controller"}, "ingress-nginx")
    open_ports = [each for each in (9080, 15008) if allows(rendered, "productpage", "Ingress", controller, each)]
    assert open_ports == [port]


def test_network_policies_allow_test_pods_only_during_helm_test(overlay: Overlay, mode: str) -> None:
    with_tests = overlay(VALUES[mode])
    for service in SERVICES:
        assert allows(with_tests, service, "Ingress", pod("bookinfo-test"), PORT[mode])
        assert not allows(released(with_tests), service, "Ingress", pod("bookinfo-test"), PORT[mode])


def test_network_policies_select_only_pods_of_the_release(rendered: Objects) -> None:
    for item in of_kind(rendered, "NetworkPolicy"):
        (app,) = item["spec"]["podSelector"]["matchLabels"].values()
        assert named(rendered, "Service", app)
