"""The complete configuration of one gateway: for Gateways of Istio, or for one Gateway of the Gateway API."""

from bookinfo_lab.resources.topology import Gateway
from bookinfo_lab.translate import (
    authorization,
    gateway_api,
    gateway_servers,
    http_routes,
    jwt,
    listeners,
    tls,
    virtual_services,
)
from bookinfo_lab.translate.clusters import outbound_clusters
from bookinfo_lab.translate.gateway_api import ListenerGroup
from bookinfo_lab.translate.gateway_servers import ServerGroup
from bookinfo_lab.translate.listeners import FilterChain
from bookinfo_lab.translate.rate_limit import add_rate_limits
from bookinfo_lab.translate.route_parts import Caller
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.telemetry import connection_manager_settings
from bookinfo_lab.translate.virtual_service_routes import virtual_service_routes
from bookinfo_lab.translate.xds import Json, ProxyConfig


def gateway_config(mesh: MeshSnapshot, gateway: Gateway) -> ProxyConfig:
    """Return the configuration of `gateway`. It listens at the addresses that a Gateway resource opens."""
    open_listeners, routes = _api_gateway(mesh, gateway) if gateway.resource else _istio_gateway(mesh, gateway)
    # Envoy requires a subscriber for each ECDS resource: a gateway without a listener has none.
    extensions = {jwt.JWT_FILTER: jwt.filter_config(jwt.jwt_rules(mesh.rules, gateway))} if open_listeners else {}
    return ProxyConfig(
        listeners=tuple(open_listeners),
        clusters=tuple(outbound_clusters(mesh, gateway, mesh.hosts.values())),
        routes={route["name"]: route for route in add_rate_limits(mesh.rules, gateway, routes)},
        extensions=extensions,
    )


# Istio's Gateway


def _istio_gateway(mesh: MeshSnapshot, gateway: Gateway) -> tuple[list[Json], list[Json]]:
    """Return the listeners and the route configurations for all of Istio's Gateways that select `gateway`."""
    groups_by_address = {
        address: gateway_servers.server_groups(mesh.rules, gateway, address)
        for address in sorted(set(gateway.ports.values()))
    }
    telemetry = connection_manager_settings(mesh, gateway, "SERVER")
    open_listeners = [
        listeners.gateway(address, map(_filter_chain, groups), telemetry)
        for address, groups in groups_by_address.items()
        if groups
    ]
    routes = [_server_group_routes(mesh, gateway, group) for groups in groups_by_address.values() for group in groups]
    return open_listeners, routes


def _filter_chain(group: ServerGroup) -> FilterChain:
    return FilterChain(group.route_name, tls.mutual_downstream() if group.sni else None, group.sni)


def _server_group_routes(mesh: MeshSnapshot, gateway: Gateway, group: ServerGroup) -> Json:
    """Return the routes of all VirtualServices for the group. Rules for one host are merged in their order.

    The catch-all routes of a host follow its other routes. Istio: buildGatewayHTTPRouteConfig,
    pilot/pkg/networking/core/gateway.go; SortVHostRoutes.
    """
    port = group.servers[0][1].port.number
    names = gateway_servers.gateway_names(group.servers)
    caller = Caller(gateway, names, port, tls=bool(group.sni))
    routes: dict[str, list[Json]] = {}
    for rule in virtual_services.for_gateways(mesh.rules, names, gateway.namespace):
        for host in gateway_servers.served_hosts(rule, group.servers):
            routes.setdefault(host, []).extend(virtual_service_routes(mesh, rule, caller))
    routes.setdefault("*", [])
    virtual_hosts = [
        listeners.virtual_host(f"{host}:{port}", [host], [*sorted(of_host, key=_is_catch_all), _not_found_route()])
        for host, of_host in routes.items()
    ]
    return _route_configuration(mesh, gateway, group.route_name, virtual_hosts)


def _is_catch_all(route: Json) -> bool:
    match = route["match"]
    every_path = match.get("prefix") == "/" or match.get("safe_regex") == {"regex": ".*"}
    return every_path and "headers" not in match and "query_parameters" not in match


# The Gateway API's Gateway


def _api_gateway(mesh: MeshSnapshot, gateway: Gateway) -> tuple[list[Json], list[Json]]:
    """Return the listeners and the route configurations for the one Gateway resource of `gateway`."""
    resource = gateway_api.gateway_resource(mesh.rules, gateway)
    if resource is None:
        return [], []
    groups_by_port = {
        port: gateway_api.listener_groups(mesh, resource, port)
        for port in gateway_api.listener_ports(resource)
        if port in gateway.ports
    }
    telemetry = connection_manager_settings(mesh, gateway, "SERVER")
    open_listeners = [
        listeners.gateway(gateway.ports[port], [group.chain for group in groups], telemetry)
        for port, groups in groups_by_port.items()
    ]
    routes = [
        _listener_group_routes(mesh, gateway, group, port)
        for port, groups in groups_by_port.items()
        for group in groups
    ]
    return open_listeners, routes


def _listener_group_routes(mesh: MeshSnapshot, gateway: Gateway, group: ListenerGroup, port: int) -> Json:
    caller = Caller(gateway, frozenset(), port, tls=group.chain.transport_socket is not None)
    virtual_hosts = [
        listeners.virtual_host(
            f"{hostname}:{port}",
            [hostname],
            [*http_routes.http_route_routes(mesh, caller, attached, needs_grant=True), _not_found_route()],
        )
        for hostname, attached in group.routes_by_hostname.items()
    ]
    return _route_configuration(mesh, gateway, group.chain.route_name, virtual_hosts)


# Both


def _route_configuration(mesh: MeshSnapshot, gateway: Gateway, name: str, virtual_hosts: list[Json]) -> Json:
    filters = authorization.filter_config(mesh.rules, gateway, strict=False)
    return listeners.route_configuration(name, virtual_hosts, filters, ignore_port=True)


def _not_found_route() -> Json:
    """Return the route for requests that no rule matches. Being a route, it is subject to policies, as in Istio."""
    return {"name": "not_found", "match": {"prefix": "/"}, "direct_response": {"status": 404}}
