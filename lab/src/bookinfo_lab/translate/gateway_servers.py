"""Servers of Istio's Gateway resources: what an Istio gateway serves at an address, and for which VirtualServices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import GatewaySpec, Server
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Gateway
from bookinfo_lab.translate.names import gateway_reference, host_matches
from bookinfo_lab.translate.selection import is_exported_to, selects
from bookinfo_lab.translate.virtual_services import VirtualService, hosts

GatewayServer = tuple[Rule[GatewaySpec], Server]
"""A server and the Gateway resource that defines it."""


@dataclass(frozen=True)
class ServerGroup:
    """Servers that share a filter chain and its routes."""

    route_name: str  # of the RouteConfiguration, as Istio names it
    servers: tuple[GatewayServer, ...]
    sni: tuple[str, ...] = ()  # the SNI names of a server with mutual TLS; empty for plaintext


def servers_at(rules: Rules, gateway: Gateway, address: tuple[str, int]) -> list[GatewayServer]:
    """Return the servers that Gateway resources define for `gateway` at `address`.

    Several port numbers can share one address, like the ports of an ingress gateway's Service.
    """
    return [
        (rule, server)
        for rule in rules.gateways
        if selects(rule.spec.selector, gateway)
        for server in rule.spec.servers
        if gateway.ports.get(server.port.number) == address
    ]


def server_groups(rules: Rules, gateway: Gateway, address: tuple[str, int]) -> list[ServerGroup]:
    """Return one group for all plaintext servers at `address`, and one for each server with TLS.

    Raises ManifestError if servers with and without TLS share the address. Istio: MergeGateways,
    pilot/pkg/model/gateway.go.
    """
    servers = servers_at(rules, gateway, address)
    plaintext = [(rule, server) for rule, server in servers if server.tls is None]
    encrypted = [(rule, server) for rule, server in servers if server.tls is not None]
    if plaintext and encrypted:
        rule, server = encrypted[0]
        raise rule.document.error(
            manifest_errors.port_without_tls(str(plaintext[0][0]), server.port.number),
            ("spec", "servers", rule.spec.servers.index(server), "port"),
        )
    plaintext_group = [ServerGroup(f"http.{address[1]}", tuple(plaintext))] if plaintext else []
    return [*plaintext_group, *(_encrypted_group(rule, server) for rule, server in encrypted)]


def _encrypted_group(rule: Rule[GatewaySpec], server: Server) -> ServerGroup:
    return ServerGroup(
        f"https.{server.port.number}.{server.port.name}.{rule.name}.{rule.namespace}",
        ((rule, server),),
        tuple(host.rpartition("/")[2] for host in server.hosts),
    )


def gateway_names(servers: Sequence[GatewayServer]) -> frozenset[str]:
    """Return the Gateways that define `servers`, as namespace/name."""
    return frozenset(f"{rule.namespace}/{rule.name}" for rule, _ in servers)


def served_hosts(rule: VirtualService, servers: Sequence[GatewayServer]) -> Iterator[str]:
    """Yield the hosts of `rule` that `servers` offer to its namespace. Of two overlapping hosts the narrower is used.

    Istio: host.NamesForNamespace, pkg/config/host/names.go.
    """
    patterns = [
        name
        for gateway, server in servers
        if _is_bound_to(rule, gateway)
        for scope, _, name in (host.rpartition("/") for host in server.hosts)
        if not scope or is_exported_to(rule.namespace, (scope,), gateway.namespace)
    ]
    for host in hosts(rule):
        for pattern in dict.fromkeys(patterns):
            if host_matches(pattern, host):
                yield host
                break
            if host_matches(host, pattern):
                yield pattern


def _is_bound_to(rule: VirtualService, gateway: Rule[GatewaySpec]) -> bool:
    name = f"{gateway.namespace}/{gateway.name}"
    return name in {gateway_reference(reference, rule.namespace) for reference in rule.spec.gateways}
