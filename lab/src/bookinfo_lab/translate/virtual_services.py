"""Which VirtualServices hold where, and what must not be between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import GatewaySpec, Server, VirtualServiceSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Gateway
from bookinfo_lab.translate.mesh import selects, visible
from bookinfo_lab.translate.names import MESH, full_host, gateway_reference, host_matches

VirtualService = Rule[VirtualServiceSpec]


@dataclass(frozen=True)
class Entrance:
    """Servers of a gateway that have routes in common."""

    name: str  # of their route configuration, as Istio names it
    offered: tuple[tuple[Rule[GatewaySpec], Server], ...]
    sni: tuple[str, ...] = ()  # for mutual TLS with one of these as SNI; without any, for plaintext


def for_host(rules: Rules, namespace: str, host: str) -> VirtualService | None:
    """The rule that sidecars in `namespace` follow for `host`: an exact host goes before a wildcard.

    Istio: SelectVirtualServices, pilot/pkg/networking/core/httproute.go; sidecars do not merge rules.
    """
    patterns = [(pattern, rule) for rule in of_mesh(rules, namespace) for pattern in hosts(rule)]
    matching = [(pattern, rule) for pattern, rule in patterns if host_matches(pattern, host)]
    return max(matching, key=lambda item: (not item[0].startswith("*"), len(item[0])), default=(None, None))[1]


def of_mesh(rules: Rules, namespace: str) -> list[VirtualService]:
    """Every rule that sidecars in `namespace` follow."""
    return [
        rule
        for rule in rules.virtual_services
        if MESH in rule.spec.gateways and visible(rule.spec.export_to, rule.namespace, namespace)
    ]


def of_gateways(rules: Rules, gateways: frozenset[str], namespace: str) -> list[VirtualService]:
    """Every rule bound to one of `gateways` (namespace/name) that a proxy in `namespace` may see.

    Istio: PushContext.VirtualServicesForGateway, pilot/pkg/model/push_context.go.
    """
    return [
        rule
        for rule in rules.virtual_services
        if gateways & {gateway_reference(name, rule.namespace) for name in rule.spec.gateways}
        and visible(rule.spec.export_to, rule.namespace, namespace)
    ]


def hosts(rule: VirtualService) -> list[str]:
    """The hosts of `rule`, in full."""
    return [full_host(host, rule.namespace) for host in rule.spec.hosts]


def destinations(rule: VirtualService) -> Iterator[str]:
    """The hosts, in full, to which `rule` sends requests or copies of them."""
    for http in rule.spec.http:
        named = [item.destination for item in http.route] + [item.destination for item in http.mirrors]
        for destination in [*named, http.mirror] if http.mirror else named:
            yield full_host(destination.host, rule.namespace)


def servers(rules: Rules, gateway: Gateway, address: tuple[str, int]) -> list[tuple[Rule[GatewaySpec], Server]]:
    """What Gateway resources ask `gateway` to serve where it listens at `address`.

    Several port numbers may lead to one address, as the ports of an ingress gateway's Service do.
    """
    return [
        (rule, server)
        for rule in rules.gateways
        if selects(rule.spec.selector, gateway)
        for server in rule.spec.servers
        if gateway.ports.get(server.port.number) == address
    ]


def entrances(rules: Rules, gateway: Gateway, address: tuple[str, int]) -> list[Entrance]:
    """The servers at `address`: those without TLS together, each other one by itself.

    Istio: MergeGateways, pilot/pkg/model/gateway.go. Raises ManifestError if both are to share the address.
    """
    offered = servers(rules, gateway, address)
    plain = [(rule, server) for rule, server in offered if server.tls is None]
    encrypted = [(rule, server) for rule, server in offered if server.tls is not None]
    if plain and encrypted:
        rule, server = encrypted[0]
        raise rule.document.error(
            manifest_errors.port_without_tls(str(plain[0][0]), server.port.number),
            ("spec", "servers", rule.spec.servers.index(server), "port"),
        )
    by_itself = [
        Entrance(
            f"https.{server.port.number}.{server.port.name}.{rule.name}.{rule.namespace}",
            ((rule, server),),
            tuple(host.rpartition("/")[2] for host in server.hosts),
        )
        for rule, server in encrypted
    ]
    return [*([Entrance(f"http.{address[1]}", tuple(plain))] if plain else []), *by_itself]


def references(offered: Sequence[tuple[Rule[GatewaySpec], Server]]) -> frozenset[str]:
    """The Gateways of these servers, as namespace/name."""
    return frozenset(f"{rule.namespace}/{rule.name}" for rule, _ in offered)


def served_hosts(rule: VirtualService, offered: Sequence[tuple[Rule[GatewaySpec], Server]]) -> Iterator[str]:
    """The hosts of `rule` that the gateway's servers offer to its namespace; of two that overlap, the narrower.

    Istio: host.NamesForNamespace, pkg/config/host/names.go.
    """
    patterns = [
        name
        for gateway, server in offered
        if _binds(rule, gateway)
        for scope, _, name in (host.rpartition("/") for host in server.hosts)
        if not scope or visible((scope,), gateway.namespace, rule.namespace)
    ]
    for host in hosts(rule):
        for pattern in dict.fromkeys(patterns):
            if host_matches(pattern, host):
                yield host
                break
            if host_matches(host, pattern):
                yield pattern


def _binds(rule: VirtualService, gateway: Rule[GatewaySpec]) -> bool:
    reference = f"{gateway.namespace}/{gateway.name}"
    return reference in {gateway_reference(name, rule.namespace) for name in rule.spec.gateways}
