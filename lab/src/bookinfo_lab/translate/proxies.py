"""One proxy's whole configuration: a sidecar's and a gateway's."""

from collections.abc import Iterator
from typing import Any

from bookinfo_lab.resources.topology import Gateway, Proxy, Workload
from bookinfo_lab.translate import (
    authorization,
    clusters,
    gateway_api,
    gateway_api_routes,
    jwt,
    listeners,
    tls,
    virtual_services,
)
from bookinfo_lab.translate.mesh import Host, Mesh, Port
from bookinfo_lab.translate.names import MESH, cluster_name, host_matches, inbound_cluster_name
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode
from bookinfo_lab.translate.rate_limit import limited
from bookinfo_lab.translate.routes import (
    Caller,
    default_route,
    inbound_route,
    passthrough_route,
    tunnel_route,
    virtual_service_routes,
)
from bookinfo_lab.translate.sidecar_scope import allows_unknown_hosts, reached_hosts, visible_hosts
from bookinfo_lab.translate.telemetry import observed
from bookinfo_lab.translate.xds import ProxyConfig

Json = dict[str, Any]

_HTTP_PORT = 80


def sidecar_config(mesh: Mesh, workload: Workload) -> ProxyConfig:
    """The sidecar of `workload`: its inbound ports, and its outbound forward proxy."""
    hosts = visible_hosts(mesh, workload)
    ports = sorted(set(workload.ports.values()))
    modes = {port: mutual_tls_mode(mesh.rules, workload, port) for port in ports}
    inbound = limited(mesh.rules, workload, [_inbound_routes(mesh, workload, port, modes[port]) for port in ports])
    outbound = listeners.route_configuration(
        listeners.OUTBOUND_ROUTES, list(_outbound_hosts(mesh, workload, hosts)), {}, any_port=False
    )
    served = observed(mesh, workload, "SERVER")
    return _config(
        mesh,
        workload,
        reached_hosts(mesh, workload, hosts),
        listening=[
            listeners.outbound(workload, observed(mesh, workload, "CLIENT")),
            *(listeners.inbound(workload, port, inbound_cluster_name(port), modes[port], served) for port in ports),
            *([listeners.metrics(workload)] if ports else []),
        ],
        own_clusters=[
            clusters.passthrough(),
            *(clusters.inbound(port) for port in ports),
            *([clusters.metrics()] if ports else []),
        ],
        routes=[outbound, *inbound],
    )


def gateway_config(mesh: Mesh, gateway: Gateway) -> ProxyConfig:
    """The gateway: a listener for each address that a Gateway resource asks it to open."""
    if gateway.resource:
        return _api_gateway_config(mesh, gateway)
    by_address = {
        address: virtual_services.entrances(mesh.rules, gateway, address)
        for address in sorted(set(gateway.ports.values()))
    }
    logs = observed(mesh, gateway, "SERVER")
    return _config(
        mesh,
        gateway,
        list(mesh.hosts.values()),
        listening=[
            listeners.gateway(address, map(_door, entrances), logs)
            for address, entrances in by_address.items()
            if entrances
        ],
        own_clusters=[],
        routes=limited(
            mesh.rules,
            gateway,
            [_gateway_routes(mesh, gateway, entrance) for entrances in by_address.values() for entrance in entrances],
        ),
    )


def _door(entrance: virtual_services.Entrance) -> listeners.Door:
    transport = tls.mutual_downstream() if entrance.sni else None
    return listeners.Door(entrance.name, transport, entrance.sni)


def _api_gateway_config(mesh: Mesh, gateway: Gateway) -> ProxyConfig:
    resource = gateway_api.resource(mesh.rules, gateway)
    ports = [port for port in gateway_api.ports(resource) if port in gateway.ports] if resource else []
    by_port = {port: gateway_api.entrances(mesh, resource, port) for port in ports} if resource else {}
    logs = observed(mesh, gateway, "SERVER")
    return _config(
        mesh,
        gateway,
        list(mesh.hosts.values()),
        listening=[
            listeners.gateway(gateway.ports[port], [entrance.door for entrance in entrances], logs)
            for port, entrances in by_port.items()
        ],
        own_clusters=[],
        routes=limited(
            mesh.rules,
            gateway,
            [
                _api_gateway_routes(mesh, gateway, entrance, port)
                for port, entrances in by_port.items()
                for entrance in entrances
            ],
        ),
    )


def _api_gateway_routes(mesh: Mesh, gateway: Gateway, entrance: gateway_api.Entrance, port: int) -> Json:
    caller = Caller(gateway, frozenset(), port, tls=entrance.door.transport is not None)
    virtual_hosts = [
        listeners.virtual_host(
            f"{hostname}:{port}",
            [hostname],
            [*gateway_api_routes.routes(mesh, caller, attached, granted=True), _not_found()],
        )
        for hostname, attached in entrance.hosts.items()
    ]
    filters = authorization.filter_config(mesh.rules, gateway, strict=False)
    return listeners.route_configuration(entrance.door.routes, virtual_hosts, filters, any_port=True)


def _config(
    mesh: Mesh,
    proxy: Proxy,
    hosts: list[Host],
    *,
    listening: list[Json],
    own_clusters: list[Json],
    routes: list[Json],
) -> ProxyConfig:
    takes_requests = any(listener["name"] != listeners.OUTBOUND for listener in listening)
    return ProxyConfig(
        listeners=tuple(listening),
        clusters=(*own_clusters, *clusters.outbound(mesh, proxy, hosts)),
        routes={route["name"]: route for route in routes},
        # Only what takes requests in subscribes to it: a pod without a port, or a closed gateway, does not.
        extensions={jwt.JWT_FILTER: jwt.filter_config(jwt.jwt_rules(mesh.rules, proxy))} if takes_requests else {},
    )


def _outbound_hosts(mesh: Mesh, workload: Workload, hosts: list[Host]) -> Iterator[Json]:
    for host in hosts:
        for port in host.ports:
            domains = _authorities(host.names(workload.namespace), port.number)
            yield listeners.virtual_host(
                f"{host.name}:{port.number}", domains, _outbound_routes(mesh, workload, host, port)
            )
    yield from _unregistered_hosts(mesh, workload, {host.name for host in hosts})
    yield _unknown_hosts(allowed=allows_unknown_hosts(mesh.rules, workload))


def _outbound_routes(mesh: Mesh, workload: Workload, host: Host, port: Port) -> list[Json]:
    if port.tunnelled:
        return [tunnel_route(cluster_name(port.number, "", host.name), f"{host.name}:{port.number}/*")]
    caller = Caller(workload, frozenset({MESH}), port.number)
    attached = gateway_api.for_service(mesh.rules, workload.namespace, host, port.number)
    if attached:
        return gateway_api_routes.routes(mesh, caller, attached, granted=False)
    rule = virtual_services.for_host(mesh.rules, workload.namespace, host.name)
    # A rule that has nothing for this caller leaves it what it had. Istio: BuildSidecarVirtualHostWrapper.
    routes = virtual_service_routes(mesh, rule, caller) if rule else []
    return routes or [default_route(mesh, workload, host, port)]


def _unregistered_hosts(mesh: Mesh, workload: Workload, known: set[str]) -> Iterator[Json]:
    """Hosts that only a VirtualService names: Istio serves them on HTTP's port.

    A wildcard is one if no host is what it says. Istio: separateVSHostsAndServices, core/route/route.go.
    """
    caller = Caller(workload, frozenset({MESH}), _HTTP_PORT)
    for rule in virtual_services.of_mesh(mesh.rules, workload.namespace):
        patterns = [
            pattern
            for pattern in virtual_services.hosts(rule)
            if not any(host_matches(pattern, host) for host in (*known, *mesh.hosts))
        ]
        routes = virtual_service_routes(mesh, rule, caller) if patterns else []
        for pattern in patterns if routes else ():
            yield listeners.virtual_host(f"{pattern}:{_HTTP_PORT}", _authorities((pattern,), _HTTP_PORT), routes)


def _authorities(names: tuple[str, ...], port: int) -> list[str]:
    """How `Host` may name each of `names` on `port`: HTTP's own port may be left out."""
    return [
        authority
        for name in names
        for authority in ((name, f"{name}:{port}") if port == _HTTP_PORT else (f"{name}:{port}",))
    ]


def _unknown_hosts(*, allowed: bool) -> Json:
    """What happens to a host that the mesh does not know: passed through, or what Istio answers to REGISTRY_ONLY."""
    if allowed:
        routes = [tunnel_route(clusters.PASSTHROUGH, "allow_any"), passthrough_route()]
        return listeners.virtual_host("allow_any", ["*"], routes)
    matches: list[Json] = [{"connect_matcher": {}}, {"prefix": "/"}]
    blocked = [{"name": "block_all", "match": match, "direct_response": {"status": 502}} for match in matches]
    return listeners.virtual_host("block_all", ["*"], blocked)


def _inbound_routes(mesh: Mesh, workload: Workload, port: int, mode: str) -> Json:
    host = next((host for host in mesh.hosts.values() if _is_behind(host, workload, port)), None)
    operation = f"{host.name if host else workload.name}:{port}/*"
    virtual_host = listeners.virtual_host(f"inbound|http|{port}", ["*"], [inbound_route(port, operation)])
    filters = authorization.filter_config(mesh.rules, workload, strict=mode == "STRICT")
    return listeners.route_configuration(inbound_cluster_name(port), [virtual_host], filters, any_port=True)


def _is_behind(host: Host, workload: Workload, port: int) -> bool:
    endpoints = [endpoint for group in host.endpoints.values() for endpoint in group]
    return any((endpoint.address, endpoint.port) == (workload.address, port) for endpoint in endpoints)


def _gateway_routes(mesh: Mesh, gateway: Gateway, entrance: virtual_services.Entrance) -> Json:
    """Rules for one host are merged in their order, with each one's catch-all after all others' routes.

    Istio: buildGatewayHTTPRouteConfig, pilot/pkg/networking/core/gateway.go; SortVHostRoutes.
    """
    port = entrance.offered[0][1].port.number
    names = virtual_services.references(entrance.offered)
    caller = Caller(gateway, names, port, tls=bool(entrance.sni))
    routes: dict[str, list[Json]] = {}
    for rule in virtual_services.of_gateways(mesh.rules, names, gateway.namespace):
        for host in virtual_services.served_hosts(rule, entrance.offered):
            routes.setdefault(host, []).extend(virtual_service_routes(mesh, rule, caller))
    routes.setdefault("*", [])
    virtual_hosts = [
        listeners.virtual_host(f"{host}:{port}", [host], [*sorted(found, key=_is_catch_all), _not_found()])
        for host, found in routes.items()
    ]
    filters = authorization.filter_config(mesh.rules, gateway, strict=False)
    return listeners.route_configuration(entrance.name, virtual_hosts, filters, any_port=True)


def _is_catch_all(route: Json) -> bool:
    match = route["match"]
    everything = match.get("prefix") == "/" or match.get("safe_regex") == {"regex": ".*"}
    return everything and "headers" not in match and "query_parameters" not in match


def _not_found() -> Json:
    """What no rule routes. As a route of its own it is subject to the gateway's policies, as everything is in Istio."""
    return {"name": "not_found", "match": {"prefix": "/"}, "direct_response": {"status": 404}}
