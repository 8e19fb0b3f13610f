"""Network policies: the graph's edges and the named infrastructure flows of each mesh mode, and nothing else."""

import ipaddress
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from charts.tests.rendering import SERVICES, Helm, Object, Objects, named, of_kind, released

Overlay = Callable[[str], Objects]

GRAPH = {("productpage", "details"), ("productpage", "reviews"), ("reviews", "ratings")}
PORT = {"none": 9080, "sidecar": 9080, "ambient": 15008}
VALUES = {"none": "production", "sidecar": "sidecar", "ambient": "ambient-routes"}


@dataclass(frozen=True)
class Peer:
    """Somebody on the network: a pod of the release's namespace, of another one, or an address."""

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
NEIGHBOUR = Peer({"app": "reviews"}, "neighbours")


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector selects."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )


def meets(entry: Object, peer: Peer) -> bool:
    """Whether an entry of `from` or `to` means the peer."""
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


def admits(objects: Objects, app: str, direction: str, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Kubernetes' decision for the pods of `app`: policies add up, and one that selects them forbids the rest."""
    own = [
        item["spec"] for item in of_kind(objects, "NetworkPolicy") if selects(item["spec"]["podSelector"], {"app": app})
    ]
    own = [spec for spec in own if direction in spec["policyTypes"]]
    key = {"Ingress": "from", "Egress": "to"}[direction]
    return not own or any(
        any(meets(entry, peer) for entry in rule[key]) and {"protocol": protocol, "port": port} in rule["ports"]
        for spec in own
        for rule in spec.get(direction.lower()) or []
    )


@pytest.fixture(params=["none", "sidecar", "ambient"])
def mode(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def rendered(overlay: Overlay, mode: str) -> Objects:
    """A release with network policies in that mesh mode, without what exists only while its tests run."""
    return released(overlay(VALUES[mode]))


def ends(objects: Objects, direction: str, port: int) -> set[tuple[str, str]]:
    """The edges among the services that are open at one end: the caller's (Egress) or the called one's (Ingress)."""
    found = set()
    for caller, service in itertools.product(SERVICES, SERVICES):
        app, other = (caller, service) if direction == "Egress" else (service, caller)
        if admits(objects, app, direction, pod(other), port):
            found.add((caller, service))
    return found


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
@pytest.mark.parametrize(("values", "port"), [("production", 9080), ("sidecar", 9080), ("ambient-plain", 15008)])
def test_each_edge_of_the_graph_is_open_and_no_other(overlay: Overlay, values: str, port: int, direction: str) -> None:
    assert ends(released(overlay(values)), direction, port) == GRAPH


def test_in_ambient_mode_with_a_waypoint_callers_reach_it_and_it_reaches_everybody(overlay: Overlay) -> None:
    rendered = released(overlay("ambient-routes"))
    callers = {service for service in SERVICES if admits(rendered, service, "Egress", WAYPOINT, 15008)}
    assert callers == {caller for caller, _ in GRAPH}
    assert [service for service in SERVICES if not admits(rendered, service, "Ingress", WAYPOINT, 15008)] == []
    assert ends(rendered, "Ingress", 15008) == ends(rendered, "Egress", 15008) == set()


def test_in_ambient_mode_pods_meet_in_tunnels_only(overlay: Overlay) -> None:
    for values in ("ambient-routes", "ambient-plain"):
        assert ends(released(overlay(values)), "Ingress", 9080) == set()


def test_only_productpage_is_open_to_the_gateway(rendered: Objects, mode: str) -> None:
    gateway = {"none": None, "sidecar": ISTIO_GATEWAY, "ambient": GATEWAY}[mode]
    if gateway:
        open_to_it = [service for service in SERVICES if admits(rendered, service, "Ingress", gateway, PORT[mode])]
        assert open_to_it == ["productpage"]


def test_strangers_and_neighbours_of_the_same_name_are_kept_out(rendered: Objects, mode: str) -> None:
    for service in SERVICES:
        for peer in (STRANGER, NEIGHBOUR):
            assert not admits(rendered, service, "Ingress", peer, PORT[mode])
            assert not admits(rendered, service, "Egress", peer, PORT[mode])


FLOWS = [
    ("names by UDP", {"none", "sidecar", "ambient"}, "Egress", DNS, 53, "UDP"),
    ("names by TCP", {"none", "sidecar", "ambient"}, "Egress", DNS, 53, "TCP"),
    ("control plane", {"sidecar"}, "Egress", ISTIOD, 15012, "TCP"),
    ("probes", {"ambient"}, "Ingress", KUBELET_IN_AMBIENT, 9080, "TCP"),
    ("scraping", {"none", "ambient"}, "Ingress", PROMETHEUS, 9080, "TCP"),
    ("scraping of sidecars", {"sidecar"}, "Ingress", PROMETHEUS, 15020, "TCP"),
    ("scraping through the tunnel", {"ambient"}, "Ingress", PROMETHEUS, 15008, "TCP"),
    ("traces by gRPC", {"none", "sidecar", "ambient"}, "Egress", COLLECTOR, 4317, "TCP"),
    ("traces by HTTP", {"none", "sidecar", "ambient"}, "Egress", COLLECTOR, 4318, "TCP"),
    ("traces through the tunnel", {"ambient"}, "Egress", COLLECTOR, 15008, "TCP"),
]


@pytest.mark.parametrize(
    ("flow", "modes", "direction", "peer", "port", "protocol"), FLOWS, ids=[row[0] for row in FLOWS]
)
def test_an_infrastructure_flow_is_open_in_its_modes_and_in_no_other(
    rendered: Objects, mode: str, flow: str, modes: set[str], direction: str, peer: Peer, port: int, protocol: str
) -> None:
    found = {service: admits(rendered, service, direction, peer, port, protocol) for service in SERVICES}
    assert found == dict.fromkeys(SERVICES, mode in modes)


def test_a_flow_can_be_taken_away_and_another_added(helm: Helm) -> None:
    books = {
        "modes": ["none"],
        "direction": "egress",
        "peers": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 443}],
    }
    rendered = helm.render({"networkPolicy": {"enabled": True, "flows": {"scraping": None, "books": books}}})
    assert not admits(rendered, "details", "Ingress", PROMETHEUS, 9080)
    assert admits(rendered, "details", "Egress", Peer(address="203.0.113.7"), 443)


@pytest.mark.parametrize(
    ("flow", "address", "port", "open_to"),
    [("nodeLocalDns", "169.254.20.10", 53, SERVICES), ("externalBooks", "203.0.113.7", 443, ("details",))],
)
def test_an_optional_flow_is_closed_until_it_is_given_the_mesh_mode(
    helm: Helm, flow: str, address: str, port: int, open_to: tuple[str, ...]
) -> None:
    def reaching(flows: Object) -> list[str]:
        rendered = helm.render({"networkPolicy": {"enabled": True, "flows": flows}})
        return [name for name in SERVICES if admits(rendered, name, "Egress", Peer(address=address), port)]

    assert reaching({}) == []
    assert reaching({flow: {"modes": ["none"]}}) == list(open_to)


def test_an_ingress_controller_and_named_peers_may_call_productpage(overlay: Overlay) -> None:
    rendered = released(overlay("ingress"))
    for peer in (Peer({"app": "controller"}, "ingress-nginx"), Peer(address="10.1.2.3")):
        assert admits(rendered, "productpage", "Ingress", peer, 9080)
        assert not admits(rendered, "reviews", "Ingress", peer, 9080)


@pytest.mark.parametrize(("account", "port"), [("", 9080), ("nginx", 15008)])
def test_in_ambient_mode_a_controller_comes_through_the_tunnel_only_if_it_is_in_the_mesh(
    helm: Helm, account: str, port: int
) -> None:
    ingress = {"enabled": True, "serviceAccount": account}
    rendered = helm.render({"mesh": {"mode": "ambient"}, "ingress": ingress, "networkPolicy": {"enabled": True}})
    controller = Peer({"app": "controller"}, "ingress-nginx")
    opened = [each for each in (9080, 15008) if admits(rendered, "productpage", "Ingress", controller, each)]
    assert opened == [port]


def test_the_test_pods_are_admitted_only_while_they_run(overlay: Overlay, mode: str) -> None:
    everything = overlay(VALUES[mode])
    for service in SERVICES:
        assert admits(everything, service, "Ingress", pod("bookinfo-test"), PORT[mode])
        assert not admits(released(everything), service, "Ingress", pod("bookinfo-test"), PORT[mode])


def test_policies_select_only_the_release_s_own_pods(rendered: Objects) -> None:
    for item in of_kind(rendered, "NetworkPolicy"):
        (app,) = item["spec"]["podSelector"]["matchLabels"].values()
        assert named(rendered, "Service", app)
