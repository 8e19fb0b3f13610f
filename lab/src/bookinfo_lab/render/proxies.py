"""One proxy's whole configuration: a sidecar's and a gateway's."""

from collections.abc import Iterator
from typing import Any

from bookinfo_lab.model.networking import GatewaySpec, Server
from bookinfo_lab.model.rules import Rule
from bookinfo_lab.render import clusters, listeners
from bookinfo_lab.render.mesh import Host, Mesh, Port, Proxy, selects
from bookinfo_lab.render.names import MESH, full_host, gateway_reference, host_matches, inbound_cluster_name
from bookinfo_lab.render.routes import Source, default_route, inbound_route, virtual_service_routes
from bookinfo_lab.topology import Gateway, Workload
from bookinfo_lab.xds import ProxyConfig

Json = dict[str, Any]


def sidecar_config(mesh: Mesh, workload: Workload) -> ProxyConfig:
    """The sidecar of `workload`: its inbound ports, and its outbound forward proxy."""
    ports = sorted(set(workload.ports.values()))
    outbound = listeners.route_configuration(
        listeners.OUTBOUND_ROUTES, [*_outbound_hosts(mesh, workload), _blocked()], any_port=False
    )
    inbound = {inbound_cluster_name(port): _inbound_routes(port) for port in ports}
    return _config(
        mesh,
        workload,
        listeners=[
            listeners.outbound(workload),
            *(listeners.inbound(workload, port, inbound_cluster_name(port)) for port in ports),
        ],
        own_clusters=[clusters.inbound(port) for port in ports],
        routes={listeners.OUTBOUND_ROUTES: outbound, **inbound},
    )


def gateway_config(mesh: Mesh, gateway: Gateway) -> ProxyConfig:
    """The gateway: a listener for each port that a Gateway resource asks it to open."""
    ports = {port: bound for port in sorted(gateway.ports) if (bound := list(_servers(mesh, gateway, port)))}
    return _config(
        mesh,
        gateway,
        listeners=[listeners.gateway(port, gateway.ports[port], _gateway_routes_name(port)) for port in ports],
        own_clusters=[],
        routes={
            _gateway_routes_name(port): _gateway_routes(mesh, gateway, port, bound) for port, bound in ports.items()
        },
    )


def _config(
    mesh: Mesh, proxy: Proxy, *, listeners: list[Json], own_clusters: list[Json], routes: dict[str, Json]
) -> ProxyConfig:
    outbound = list(clusters.outbound(mesh, proxy))
    return ProxyConfig(
        listeners=tuple(listeners),
        clusters=(*own_clusters, *(cluster for cluster, _ in outbound)),
        routes=routes,
        endpoints={cluster["name"]: assignment for cluster, assignment in outbound},
    )


def _outbound_hosts(mesh: Mesh, workload: Workload) -> Iterator[Json]:
    for host in mesh.hosts.values():
        for port in host.ports:
            routes = _mesh_routes(mesh, workload, host, port)
            domains = _authorities(host.names(workload.namespace), port.number)
            yield listeners.virtual_host(f"{host.name}:{port.number}", domains, routes)


def _mesh_routes(mesh: Mesh, workload: Workload, host: Host, port: Port) -> list[Json]:
    source = Source(workload.namespace, workload.labels, frozenset({MESH}), port.number)
    for rule in mesh.rules.virtual_services:
        bound = MESH in rule.spec.gateways
        if bound and any(host_matches(full_host(name, rule.namespace), host.name) for name in rule.spec.hosts):
            return virtual_service_routes(mesh, rule, source)
    return [default_route(host, port)]


def _authorities(names: tuple[str, ...], port: int) -> list[str]:
    """How `Host` may name each of `names` on `port`: HTTP's default port is left out."""
    return [authority for name in names for authority in ((name, f"{name}:80") if port == 80 else (f"{name}:{port}",))]


def _blocked() -> Json:
    """What Istio answers to a host that the mesh does not know (REGISTRY_ONLY)."""
    route = {"name": "block_all", "match": {"prefix": "/"}, "direct_response": {"status": 502}}
    return listeners.virtual_host("block_all", ["*"], [route])


def _inbound_routes(port: int) -> Json:
    name = inbound_cluster_name(port)
    host = listeners.virtual_host(f"inbound|http|{port}", ["*"], [inbound_route(port)])
    return listeners.route_configuration(name, [host], any_port=True)


def _servers(mesh: Mesh, gateway: Gateway, port: int) -> Iterator[tuple[Rule[GatewaySpec], Server]]:
    for rule in mesh.rules.gateways:
        if selects(rule.spec.selector, gateway.labels):
            yield from ((rule, server) for server in rule.spec.servers if server.port.number == port)


def _gateway_routes_name(port: int) -> str:
    return f"http.{port}"


def _gateway_routes(mesh: Mesh, gateway: Gateway, port: int, servers: list[tuple[Rule[GatewaySpec], Server]]) -> Json:
    names = frozenset(f"{rule.namespace}/{rule.name}" for rule, _ in servers)
    source = Source(gateway.namespace, gateway.labels, names, port)
    routes: dict[str, list[Json]] = {}
    for rule in mesh.rules.virtual_services:
        if not names & {gateway_reference(name, rule.namespace) for name in rule.spec.gateways}:
            continue
        for host in rule.spec.hosts:
            routes.setdefault(full_host(host, rule.namespace), []).extend(virtual_service_routes(mesh, rule, source))
    virtual_hosts = [
        listeners.virtual_host(f"{host}:{port}", [host], host_routes) for host, host_routes in routes.items()
    ]
    return listeners.route_configuration(_gateway_routes_name(port), virtual_hosts, any_port=True)
