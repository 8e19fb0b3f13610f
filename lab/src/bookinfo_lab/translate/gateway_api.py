"""Which HTTPRoutes hold where: what attaches to a Gateway's listeners, and what to a Service.

Spec: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteSpec, Listener) and GEP-1426 for Services. What would
leave a route without effect, and `Accepted: False` in its status, is an error here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.gateway_api import GatewaySpec, HTTPRouteSpec, Listener, ParentReference
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Gateway, service_host
from bookinfo_lab.translate import tls
from bookinfo_lab.translate.listeners import Door
from bookinfo_lab.translate.mesh import Host, Mesh
from bookinfo_lab.translate.names import MESH, full_host, host_matches

HTTPRoute = Rule[HTTPRouteSpec]
ApiGateway = Rule[GatewaySpec]


def resource(rules: Rules, gateway: Gateway) -> ApiGateway | None:
    """The Gateway for which `gateway` runs; None for one that runs for Istio's own."""
    wanted = (gateway.namespace, gateway.resource)
    return next((rule for rule in rules.api_gateways if (rule.namespace, rule.name) == wanted), None)


def ports(gateway: ApiGateway) -> list[int]:
    """The ports of its listeners."""
    return sorted({listener.port for listener in gateway.spec.listeners})


@dataclass(frozen=True)
class Entrance:
    """Listeners that have routes in common, and these by the hostname for which they hold (`*`: any other)."""

    door: Door
    hosts: dict[str, list[HTTPRoute]]


def entrances(mesh: Mesh, gateway: ApiGateway, port: int) -> list[Entrance]:
    """The ways in at `port`: one for all listeners of HTTP, and one for each of HTTPS, by its hostname as SNI.

    Raises ManifestError for a certificate that is not there.
    """
    listeners = [listener for listener in gateway.spec.listeners if listener.port == port]
    if all(listener.tls is None for listener in listeners):
        return [Entrance(Door(f"http.{port}"), _hosts(mesh.rules, gateway, listeners))]
    return [
        Entrance(
            Door(f"https.{port}.{listener.name}", _certificate(mesh, gateway, listener), (listener.hostname or "*",)),
            _hosts(mesh.rules, gateway, [listener]),
        )
        for listener in listeners
    ]


def _certificate(mesh: Mesh, gateway: ApiGateway, listener: Listener) -> dict[str, Any]:
    name = listener.tls.certificate_refs[0].name if listener.tls else ""
    path: FieldPath = ("spec", "listeners", gateway.spec.listeners.index(listener), "tls", "certificateRefs", 0, "name")
    for secret in mesh.topology.secrets:
        if (secret.namespace, secret.name) == (gateway.namespace, name):
            missing = [key for key in ("tls.crt", "tls.key") if key not in secret.data]
            if missing:
                raise gateway.document.error(manifest_errors.key_not_found(name, missing[:1]), path)
            return tls.terminated(secret.data["tls.crt"], secret.data["tls.key"])
    raise gateway.document.error(manifest_errors.object_not_found("Secret", name, gateway.namespace), path)


def _hosts(rules: Rules, gateway: ApiGateway, listeners: Sequence[Listener]) -> dict[str, list[HTTPRoute]]:
    """A request belongs to the listener with the most specific hostname, and to no other (GEP-1713)."""
    found: dict[str, list[HTTPRoute]] = {listener.hostname or "*": [] for listener in listeners}
    for route in rules.http_routes:
        for listener in _listeners(gateway, route):
            for hostname in _common(listener, route) if listener in listeners else ():
                attached = found.setdefault(hostname, [])
                if _owner(listeners, hostname) == listener and route not in attached:
                    attached.append(route)
    return {"*": [], **found}


def for_service(rules: Rules, namespace: str, host: Host, port: int) -> list[HTTPRoute]:
    """The routes that callers in `namespace` follow for a Service's `port`.

    Those of the caller's own namespace go before those beside the Service (GEP-1426: consumer and producer routes).
    """
    attached = [
        route
        for route in rules.http_routes
        if any(_service(parent, route) == host.name and parent.port in (None, port) for parent in _services(route))
    ]
    consumer = [route for route in attached if route.namespace == namespace != host.namespace]
    return consumer or [route for route in attached if route.namespace == host.namespace]


def refuse_unattached(mesh: Mesh) -> None:
    """Raise ManifestError for a route that some parent of its would not accept."""
    for route in mesh.rules.http_routes:
        for index, parent in enumerate(route.spec.parent_refs):
            path: FieldPath = ("spec", "parentRefs", index)
            if parent.kind == "Service":
                _refuse_for_service(mesh, route, parent, path)
            else:
                _refuse_for_gateway(mesh.rules, route, parent, path)


def _services(route: HTTPRoute) -> Iterator[ParentReference]:
    return (parent for parent in route.spec.parent_refs if parent.kind == "Service")


def _service(parent: ParentReference, route: HTTPRoute) -> str:
    return service_host(parent.name, parent.namespace or route.namespace)


def _listeners(gateway: ApiGateway, route: HTTPRoute) -> list[Listener]:
    """The listeners that accept `route`."""
    return [
        listener
        for parent in route.spec.parent_refs
        if parent.kind == "Gateway" and _is(parent, route, gateway)
        for listener in gateway.spec.listeners
        if _names(parent, listener) and _allows(listener, gateway, route)
    ]


def _is(parent: ParentReference, route: HTTPRoute, gateway: ApiGateway) -> bool:
    return (parent.namespace or route.namespace, parent.name) == (gateway.namespace, gateway.name)


def _names(parent: ParentReference, listener: Listener) -> bool:
    return parent.section_name in ("", listener.name) and parent.port in (None, listener.port)


def _allows(listener: Listener, gateway: ApiGateway, route: HTTPRoute) -> bool:
    scope = listener.allowed_routes.namespaces.from_
    return scope == "All" or (scope == "Same" and route.namespace == gateway.namespace)


def _common(listener: Listener, route: HTTPRoute) -> list[str]:
    """The hostnames that both have: of two that overlap, the narrower (HTTPRouteSpec.hostnames)."""
    offered = listener.hostname or "*"
    found = []
    for hostname in route.spec.hostnames or ("*",):
        if host_matches(offered, hostname):
            found.append(hostname)
        elif host_matches(hostname, offered):
            found.append(offered)
    return found


def _owner(listeners: Sequence[Listener], hostname: str) -> Listener:
    matching = [listener for listener in listeners if host_matches(listener.hostname or "*", hostname)]
    # One that names the host, then the longest wildcard, and last the one without a hostname, which takes any.
    return max(matching, key=lambda listener: (listener.hostname == hostname, len(listener.hostname)))


def _refuse_for_gateway(rules: Rules, route: HTTPRoute, parent: ParentReference, path: FieldPath) -> None:
    gateway = next((item for item in rules.api_gateways if _is(parent, route, item)), None)
    if gateway is None:
        namespace = parent.namespace or route.namespace
        raise route.document.error(manifest_errors.object_not_found("Gateway", parent.name, namespace), (*path, "name"))
    named = [listener for listener in gateway.spec.listeners if _names(parent, listener)]
    if not named:
        known = [f"{listener.name} (port {listener.port})" for listener in gateway.spec.listeners]
        raise route.document.error(manifest_errors.listener_not_found(str(gateway), known), path)
    allowing = [listener for listener in named if _allows(listener, gateway, route)]
    if not allowing:
        raise route.document.error(manifest_errors.namespace_not_allowed(str(gateway), route.namespace), path)
    if not any(_common(listener, route) for listener in allowing):
        served = [listener.hostname for listener in allowing]
        raise route.document.error(manifest_errors.hostname_not_served(str(gateway), served), ("spec", "hostnames"))


def _refuse_for_service(mesh: Mesh, route: HTTPRoute, parent: ParentReference, path: FieldPath) -> None:
    name = _service(parent, route)
    host = mesh.hosts.get(name)
    if host is None or host.external:
        raise route.document.error(manifest_errors.host_not_found(name), (*path, "name"))
    if parent.port is not None and host.port(parent.port) is None:
        known = [port.number for port in host.ports]
        raise route.document.error(manifest_errors.port_not_found(name, parent.port, known), (*path, "port"))
    for rule in mesh.rules.virtual_services:
        patterns = [full_host(pattern, rule.namespace) for pattern in rule.spec.hosts]
        if MESH in rule.spec.gateways and any(host_matches(pattern, name) for pattern in patterns):
            raise route.document.error(manifest_errors.host_already_routed(str(rule), name), path)
