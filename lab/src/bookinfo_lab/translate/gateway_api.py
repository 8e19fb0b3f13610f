"""Which HTTPRoutes apply where: those attached to a Gateway's listeners, and those attached to a Service.

Spec: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteSpec, Listener) and GEP-1426 for Services. In a
cluster a route that a parent does not accept has `Accepted: False` in its status, and no effect. Here it is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.gateway_api import GatewaySpec, Listener, ParentReference
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Gateway, service_host
from bookinfo_lab.translate import tls
from bookinfo_lab.translate.http_route_backends import HTTPRoute
from bookinfo_lab.translate.listeners import FilterChain
from bookinfo_lab.translate.names import MESH_GATEWAY, full_host, host_matches
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.xds import Json

ApiGateway = Rule[GatewaySpec]


def gateway_resource(rules: Rules, gateway: Gateway) -> ApiGateway | None:
    """Return the Gateway resource that `gateway` implements; None if it is not applied, or is one of Istio's."""
    key = (gateway.namespace, gateway.resource)
    return next((rule for rule in rules.api_gateways if (rule.namespace, rule.name) == key), None)


def listener_ports(gateway: ApiGateway) -> list[int]:
    """Return the ports of the listeners."""
    return sorted({listener.port for listener in gateway.spec.listeners})


@dataclass(frozen=True)
class ListenerGroup:
    """Listeners that share a filter chain, and the routes attached to them."""

    chain: FilterChain
    routes_by_hostname: dict[str, list[HTTPRoute]]  # `*` is every other hostname


def listener_groups(mesh: MeshSnapshot, gateway: ApiGateway, port: int) -> list[ListenerGroup]:
    """Return one group for all HTTP listeners on `port`, and one for each HTTPS listener, with its hostname as SNI.

    Raises ManifestError for a missing certificate.
    """
    listeners = [listener for listener in gateway.spec.listeners if listener.port == port]
    if all(listener.tls is None for listener in listeners):
        return [ListenerGroup(FilterChain(f"http.{port}"), _routes_by_hostname(mesh.rules, gateway, listeners))]
    return [
        ListenerGroup(
            FilterChain(
                f"https.{port}.{listener.name}", _terminating_tls(mesh, gateway, listener), (listener.hostname or "*",)
            ),
            _routes_by_hostname(mesh.rules, gateway, [listener]),
        )
        for listener in listeners
    ]


def _terminating_tls(mesh: MeshSnapshot, gateway: ApiGateway, listener: Listener) -> Json:
    name = listener.tls.certificate_refs[0].name if listener.tls else ""
    path: FieldPath = ("spec", "listeners", gateway.spec.listeners.index(listener), "tls", "certificateRefs", 0, "name")
    for secret in mesh.topology.secrets:
        if (secret.namespace, secret.name) == (gateway.namespace, name):
            missing = [key for key in ("tls.crt", "tls.key") if key not in secret.data]
            if missing:
                raise gateway.document.error(manifest_errors.key_not_found(name, missing[:1]), path)
            return tls.terminating(secret.data["tls.crt"], secret.data["tls.key"])
    raise gateway.document.error(manifest_errors.object_not_found("Secret", name, gateway.namespace), path)


def _routes_by_hostname(rules: Rules, gateway: ApiGateway, listeners: Sequence[Listener]) -> dict[str, list[HTTPRoute]]:
    """Return the routes of each hostname. Only the listener with the most specific hostname is used (GEP-1713)."""
    routes: dict[str, list[HTTPRoute]] = {listener.hostname or "*": [] for listener in listeners}
    for route in rules.http_routes:
        for listener in _accepting_listeners(gateway, route):
            for hostname in _common_hostnames(listener, route) if listener in listeners else ():
                attached = routes.setdefault(hostname, [])
                if _most_specific_listener(listeners, hostname) == listener and route not in attached:
                    attached.append(route)
    return {"*": [], **routes}


def routes_for_service(rules: Rules, namespace: str, host: Host, port: int) -> list[HTTPRoute]:
    """Return the routes that callers in `namespace` follow for the `port` of a Service.

    The routes of the caller's namespace replace those of the Service's namespace (GEP-1426: consumer and producer
    routes).
    """
    attached = [
        route
        for route in rules.http_routes
        if any(
            _service_name(parent, route) == host.name and parent.port in (None, port)
            for parent in _service_parents(route)
        )
    ]
    consumer = [route for route in attached if route.namespace == namespace != host.namespace]
    return consumer or [route for route in attached if route.namespace == host.namespace]


def reject_unattached_routes(mesh: MeshSnapshot) -> None:
    """Raise ManifestError for a route that one of its parents does not accept."""
    for route in mesh.rules.http_routes:
        for index, parent in enumerate(route.spec.parent_refs):
            path: FieldPath = ("spec", "parentRefs", index)
            if parent.kind == "Service":
                _validate_service_parent(mesh, route, parent, path)
            else:
                _validate_gateway_parent(mesh.rules, route, parent, path)


def _service_parents(route: HTTPRoute) -> Iterator[ParentReference]:
    return (parent for parent in route.spec.parent_refs if parent.kind == "Service")


def _service_name(parent: ParentReference, route: HTTPRoute) -> str:
    return service_host(parent.name, parent.namespace or route.namespace)


def _accepting_listeners(gateway: ApiGateway, route: HTTPRoute) -> list[Listener]:
    """Return the listeners that accept `route`, without regard to hostnames."""
    return [
        listener
        for parent in route.spec.parent_refs
        if parent.kind == "Gateway" and _refers_to(parent, route, gateway)
        for listener in gateway.spec.listeners
        if _includes(parent, listener) and _allows_namespace(listener, gateway, route)
    ]


def _refers_to(parent: ParentReference, route: HTTPRoute, gateway: ApiGateway) -> bool:
    return (parent.namespace or route.namespace, parent.name) == (gateway.namespace, gateway.name)


def _includes(parent: ParentReference, listener: Listener) -> bool:
    return parent.section_name in ("", listener.name) and parent.port in (None, listener.port)


def _allows_namespace(listener: Listener, gateway: ApiGateway, route: HTTPRoute) -> bool:
    scope = listener.allowed_routes.namespaces.from_
    return scope == "All" or (scope == "Same" and route.namespace == gateway.namespace)


def _common_hostnames(listener: Listener, route: HTTPRoute) -> list[str]:
    """Return the hostnames of both. Of two overlapping hostnames the narrower is used (HTTPRouteSpec.hostnames)."""
    offered = listener.hostname or "*"
    common = []
    for hostname in route.spec.hostnames or ("*",):
        if host_matches(offered, hostname):
            common.append(hostname)
        elif host_matches(hostname, offered):
            common.append(offered)
    return common


def _most_specific_listener(listeners: Sequence[Listener], hostname: str) -> Listener:
    matching = [listener for listener in listeners if host_matches(listener.hostname or "*", hostname)]
    # An exact hostname goes before the longest wildcard, and a listener without a hostname is last.
    return max(matching, key=lambda listener: (listener.hostname == hostname, len(listener.hostname)))


def _validate_gateway_parent(rules: Rules, route: HTTPRoute, parent: ParentReference, path: FieldPath) -> None:
    gateway = next((item for item in rules.api_gateways if _refers_to(parent, route, item)), None)
    if gateway is None:
        namespace = parent.namespace or route.namespace
        raise route.document.error(manifest_errors.object_not_found("Gateway", parent.name, namespace), (*path, "name"))
    included = [listener for listener in gateway.spec.listeners if _includes(parent, listener)]
    if not included:
        known = [f"{listener.name} (port {listener.port})" for listener in gateway.spec.listeners]
        raise route.document.error(manifest_errors.listener_not_found(str(gateway), known), path)
    allowing = [listener for listener in included if _allows_namespace(listener, gateway, route)]
    if not allowing:
        raise route.document.error(manifest_errors.namespace_not_allowed(str(gateway), route.namespace), path)
    if not any(_common_hostnames(listener, route) for listener in allowing):
        served = [listener.hostname for listener in allowing]
        raise route.document.error(manifest_errors.hostname_not_served(str(gateway), served), ("spec", "hostnames"))


def _validate_service_parent(mesh: MeshSnapshot, route: HTTPRoute, parent: ParentReference, path: FieldPath) -> None:
    name = _service_name(parent, route)
    host = mesh.hosts.get(name)
    if host is None or host.is_external:
        raise route.document.error(manifest_errors.host_not_found(name), (*path, "name"))
    if parent.port is not None and host.port(parent.port) is None:
        ports = [port.number for port in host.ports]
        raise route.document.error(manifest_errors.port_not_found(name, parent.port, ports), (*path, "port"))
    for rule in mesh.rules.virtual_services:
        patterns = [full_host(pattern, rule.namespace) for pattern in rule.spec.hosts]
        if MESH_GATEWAY in rule.spec.gateways and any(host_matches(pattern, name) for pattern in patterns):
            raise route.document.error(manifest_errors.host_already_routed(str(rule), name), path)
