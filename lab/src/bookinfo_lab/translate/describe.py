"""The rules that apply to a workload or a gateway, in sentences: what `bookinfo describe` prints."""

from collections.abc import Iterator

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Gateway, Proxy, Topology, Workload
from bookinfo_lab.translate import (
    authorization,
    describe_access,
    describe_gateway_api,
    describe_routes,
    gateway_servers,
    rate_limit,
    virtual_services,
)
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.selection import applies_to, selects
from bookinfo_lab.translate.sidecar_scope import allows_unknown_hosts, callable_hosts
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.telemetry import Direction, access_logging, configures_tracing, sampling_percentage
from bookinfo_lab.translate.traffic_policy import EffectivePolicy, destination_rule, effective_policy

_ACCEPTED_BY_MODE = {
    "PERMISSIVE": "mutual TLS and plaintext",
    "STRICT": "mutual TLS only",
    "DISABLE": "plaintext only",
}


def describe(topology: Topology, rules: Rules, proxy: Proxy) -> list[str]:
    """Return one line for each rule that applies to `proxy`: to calls to it, to calls by it, and to its telemetry."""
    mesh = MeshSnapshot(topology, rules)
    if isinstance(proxy, Gateway):
        return [*_access(rules, proxy), *_gateway_routes(mesh, proxy), *_telemetry(mesh, proxy)]
    if not proxy.sidecar:
        return ["no sidecar: no rule applies to this workload, and its calls carry no identity"]
    return [*_inbound(mesh, proxy), *_access(rules, proxy), *_outbound(mesh, proxy), *_telemetry(mesh, proxy)]


def _inbound(mesh: MeshSnapshot, workload: Workload) -> Iterator[str]:
    for port in sorted(set(workload.ports.values())):
        mode = mutual_tls_mode(mesh.rules, workload, port)
        yield f"port {port} accepts {_ACCEPTED_BY_MODE[mode]} ({mode})"
    for host in mesh.hosts.values():
        if any(endpoint.address == workload.address for group in host.endpoints.values() for endpoint in group):
            yield f"endpoint of {host.name}"
            rule = destination_rule(mesh, workload, host)
            subsets = [item.name for item in rule.spec.subsets if selects(item.labels, workload)] if rule else []
            if rule and subsets:
                yield f"in subset {', '.join(subsets)} of {host.name}, which {rule} defines"


def _access(rules: Rules, proxy: Proxy) -> Iterator[str]:
    policies = authorization.policies_for(rules, proxy)
    for policy in policies:
        yield from (f"{policy} {line}" for line in describe_access.authorization_policy(policy.spec))
    if any(policy.spec.action == "ALLOW" for policy in policies):
        yield "requests that no policy allows are rejected with 403"
    for rule in rules.request_authentications:
        if applies_to(rule, proxy):
            yield f"{rule} validates tokens of {', '.join(jwt.issuer for jwt in rule.spec.jwt_rules)}"
    yield from (f"{rule} {describe_access.rate_limit(limit)}" for rule, limit in rate_limit.rate_limits(rules, proxy))


def _outbound(mesh: MeshSnapshot, workload: Workload) -> Iterator[str]:
    for host in callable_hosts(mesh, workload):
        yield from describe_gateway_api.calls(mesh, workload, host)
        rule = virtual_services.for_host(mesh.rules, workload.namespace, host.name)
        if rule is not None:
            yield from (f"calls to {host.name}: {rule}: {line}" for line in describe_routes.routes(rule.spec))
        yield from _traffic_policies(mesh, workload, host)
    unknown = "allowed" if allows_unknown_hosts(mesh.rules, workload) else "rejected with 502"
    yield f"calls to hosts outside the registry are {unknown}"


def _traffic_policies(mesh: MeshSnapshot, workload: Workload, host: Host) -> Iterator[str]:
    rule = destination_rule(mesh, workload, host)
    if rule is None:
        return
    for subset in ("", *(item.name for item in rule.spec.subsets)):
        for port in host.ports:
            parts = list(_traffic_policy(effective_policy(rule, port.number, subset)))
            if parts:
                target = f"subset {subset} of {host.name}" if subset else host.name
                yield f"calls to {target}: {rule}: {', '.join(parts)}"


def _traffic_policy(policy: EffectivePolicy) -> Iterator[str]:
    if policy.load_balancer is not None:
        has_hash = policy.load_balancer.consistent_hash is not None
        yield f"load balancing by {'consistent hash' if has_hash else policy.load_balancer.simple or 'LEAST_REQUEST'}"
    if policy.connection_pool is not None:
        yield "connection pool with limits"
    if policy.outlier_detection is not None:
        yield "failing endpoints are ejected"
    if policy.tls is not None:
        yield f"TLS mode {policy.tls.mode}"


def _gateway_routes(mesh: MeshSnapshot, gateway: Gateway) -> Iterator[str]:
    if gateway.resource:
        yield from describe_gateway_api.gateway_routes(mesh, gateway)
        return
    for address in sorted(set(gateway.ports.values())):
        servers = gateway_servers.servers_at(mesh.rules, gateway, address)
        names = gateway_servers.gateway_names(servers)
        for rule in virtual_services.for_gateways(mesh.rules, names, gateway.namespace):
            hosts = ", ".join(gateway_servers.served_hosts(rule, servers))
            requests = f"requests for {hosts} at {address[0]}:{address[1]}"
            yield from (f"{requests}: {rule}: {line}" for line in describe_routes.routes(rule.spec))


def _telemetry(mesh: MeshSnapshot, proxy: Proxy) -> Iterator[str]:
    for logging in access_logging(mesh, proxy):
        if not logging.disabled:
            yield f"requests are logged{f' if {logging.filter.expression}' if logging.filter else ''}"
    if not configures_tracing(mesh, proxy):
        return
    directions: tuple[tuple[Direction, str], ...] = (("SERVER", "inbound"), ("CLIENT", "outbound"))
    for direction, name in directions[: 1 if isinstance(proxy, Gateway) else 2]:
        percentage = sampling_percentage(mesh, proxy, direction)
        yield f"{percentage or 0:g} % of {name} requests are traced"
