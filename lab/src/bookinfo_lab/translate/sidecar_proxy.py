"""The complete configuration of one sidecar: an inbound listener per port, and an outbound forward proxy."""

from collections.abc import Iterable, Iterator

from bookinfo_lab.resources.model.security import MutualTLSMode
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate import (
    authorization,
    clusters,
    gateway_api,
    http_routes,
    jwt,
    listeners,
    virtual_services,
)
from bookinfo_lab.translate.built_in_routes import default_route, inbound_route, passthrough_route, tunnel_route
from bookinfo_lab.translate.names import (
    MESH_GATEWAY,
    PASSTHROUGH_CLUSTER,
    cluster_name,
    host_matches,
    inbound_cluster_name,
)
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode
from bookinfo_lab.translate.rate_limit import add_rate_limits
from bookinfo_lab.translate.registry import Host, Port
from bookinfo_lab.translate.route_parts import Caller
from bookinfo_lab.translate.sidecar_scope import allows_unknown_hosts, callable_hosts, reachable_hosts
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.telemetry import connection_manager_settings
from bookinfo_lab.translate.virtual_service_routes import virtual_service_routes
from bookinfo_lab.translate.xds import Json, ProxyConfig

_HTTP_PORT = 80


def sidecar_config(mesh: MeshSnapshot, workload: Workload) -> ProxyConfig:
    """Return the configuration of the sidecar of `workload`."""
    hosts = callable_hosts(mesh, workload)
    ports = sorted(set(workload.ports.values()))
    modes = {port: mutual_tls_mode(mesh.rules, workload, port) for port in ports}
    outbound_telemetry = connection_manager_settings(mesh, workload, "CLIENT")
    inbound_telemetry = connection_manager_settings(mesh, workload, "SERVER")
    inbound_routes = [_inbound_routes(mesh, workload, port, modes[port]) for port in ports]
    routes = [_outbound_routes(mesh, workload, hosts), *add_rate_limits(mesh.rules, workload, inbound_routes)]
    return ProxyConfig(
        listeners=(
            listeners.outbound(workload, outbound_telemetry),
            *(
                listeners.inbound(workload, port, inbound_cluster_name(port), modes[port], inbound_telemetry)
                for port in ports
            ),
            *([listeners.metrics(workload)] if ports else []),
        ),
        clusters=(
            clusters.passthrough_cluster(),
            *(clusters.application_cluster(port) for port in ports),
            *([clusters.metrics_cluster()] if ports else []),
            *clusters.outbound_clusters(mesh, workload, reachable_hosts(mesh, workload, hosts)),
        ),
        routes={route["name"]: route for route in routes},
        # Envoy requires a subscriber for each ECDS resource: a pod without a port has none.
        extensions={jwt.JWT_FILTER: jwt.filter_config(jwt.jwt_rules(mesh.rules, workload))} if ports else {},
    )


# Inbound


def _inbound_routes(mesh: MeshSnapshot, workload: Workload, port: int, mode: MutualTLSMode) -> Json:
    host = next((host for host in mesh.hosts.values() if _has_endpoint(host, workload, port)), None)
    operation = f"{host.name if host else workload.name}:{port}/*"
    virtual_host = listeners.virtual_host(f"inbound|http|{port}", ["*"], [inbound_route(port, operation)])
    filters = authorization.filter_config(mesh.rules, workload, strict=mode == "STRICT")
    return listeners.route_configuration(inbound_cluster_name(port), [virtual_host], filters, ignore_port=True)


def _has_endpoint(host: Host, workload: Workload, port: int) -> bool:
    endpoints = [endpoint for group in host.endpoints.values() for endpoint in group]
    return any((endpoint.address, endpoint.port) == (workload.address, port) for endpoint in endpoints)


# Outbound


def _outbound_routes(mesh: MeshSnapshot, workload: Workload, hosts: Iterable[Host]) -> Json:
    virtual_hosts = list(_outbound_virtual_hosts(mesh, workload, hosts))
    return listeners.route_configuration(listeners.OUTBOUND_ROUTES, virtual_hosts, {}, ignore_port=False)


def _outbound_virtual_hosts(mesh: MeshSnapshot, workload: Workload, hosts: Iterable[Host]) -> Iterator[Json]:
    for host in hosts:
        for port in host.ports:
            yield listeners.virtual_host(
                f"{host.name}:{port.number}",
                _authorities(host.names(workload.namespace), port.number),
                _host_routes(mesh, workload, host, port),
            )
    yield from _unregistered_virtual_hosts(mesh, workload, {host.name for host in hosts})
    yield _unknown_virtual_host(allowed=allows_unknown_hosts(mesh.rules, workload))


def _host_routes(mesh: MeshSnapshot, workload: Workload, host: Host, port: Port) -> list[Json]:
    """Return the routes for one port of a host: of its HTTPRoutes, else of its VirtualService, else the default."""
    if port.is_tunneled:
        return [tunnel_route(cluster_name(port.number, "", host.name), f"{host.name}:{port.number}/*")]
    caller = Caller(workload, frozenset({MESH_GATEWAY}), port.number)
    attached = gateway_api.routes_for_service(mesh.rules, workload.namespace, host, port.number)
    if attached:
        return http_routes.http_route_routes(mesh, caller, attached, needs_grant=False)
    rule = virtual_services.for_host(mesh.rules, workload.namespace, host.name)
    # A rule without a route for this caller leaves the default route. Istio: BuildSidecarVirtualHostWrapper.
    routes = virtual_service_routes(mesh, rule, caller) if rule else []
    return routes or [default_route(mesh, workload, host, port)]


def _unregistered_virtual_hosts(mesh: MeshSnapshot, workload: Workload, callable_names: set[str]) -> Iterator[Json]:
    """Yield hosts that only a VirtualService names. Istio serves them on port 80.

    A wildcard is such a host if it matches no host of the registry. Istio: separateVSHostsAndServices,
    core/route/route.go.
    """
    caller = Caller(workload, frozenset({MESH_GATEWAY}), _HTTP_PORT)
    for rule in virtual_services.for_sidecars(mesh.rules, workload.namespace):
        patterns = [
            pattern
            for pattern in virtual_services.hosts(rule)
            if not any(host_matches(pattern, host) for host in (*callable_names, *mesh.hosts))
        ]
        routes = virtual_service_routes(mesh, rule, caller) if patterns else []
        for pattern in patterns if routes else ():
            yield listeners.virtual_host(f"{pattern}:{_HTTP_PORT}", _authorities((pattern,), _HTTP_PORT), routes)


def _authorities(names: tuple[str, ...], port: int) -> list[str]:
    """Return the `Host` headers for each name on `port`. A client can omit port 80."""
    return [
        authority
        for name in names
        for authority in ((name, f"{name}:{port}") if port == _HTTP_PORT else (f"{name}:{port}",))
    ]


def _unknown_virtual_host(*, allowed: bool) -> Json:
    """Return the virtual host for hosts outside the registry: passthrough, or Istio's response to REGISTRY_ONLY."""
    if allowed:
        routes = [tunnel_route(PASSTHROUGH_CLUSTER, "allow_any"), passthrough_route()]
        return listeners.virtual_host("allow_any", ["*"], routes)
    matches: list[Json] = [{"connect_matcher": {}}, {"prefix": "/"}]
    blocked = [{"name": "block_all", "match": match, "direct_response": {"status": 502}} for match in matches]
    return listeners.virtual_host("block_all", ["*"], blocked)
