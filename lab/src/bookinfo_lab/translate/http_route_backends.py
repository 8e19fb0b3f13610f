"""The backends of an HTTPRoute: the host of each reference, or the reason why it is invalid.

Spec: https://gateway-api.sigs.k8s.io/reference/spec/ (BackendObjectReference, ReferenceGrant).
"""

from dataclasses import dataclass

from bookinfo_lab.resources.model.gateway_api import GROUP, BackendObject, HTTPRouteSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import service_host
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.snapshot import MeshSnapshot

HTTPRoute = Rule[HTTPRouteSpec]


@dataclass(frozen=True)
class Backend:
    """The target of a backend reference. An invalid one has no host, and a reason."""

    host: Host | None
    port: int
    reason: str = ""


def resolve_backend(mesh: MeshSnapshot, route: HTTPRoute, reference: BackendObject, *, needs_grant: bool) -> Backend:
    """Return the backend of `reference`. An invalid one is not an error: its share of requests gets 500.

    `needs_grant`: a backend in another namespace requires a ReferenceGrant. At a Gateway it does; within the mesh it
    does not (GEP-1426).
    """
    namespace = reference.namespace or route.namespace
    name = service_host(reference.name, namespace)
    port = reference.port or 0
    host = mesh.hosts.get(name)
    if needs_grant and namespace != route.namespace and not _is_granted(mesh, route, reference, namespace):
        return Backend(
            None, port, f"no ReferenceGrant in {namespace} allows HTTPRoutes of {route.namespace} to use {name}"
        )
    if host is None or host.is_external:
        return Backend(None, port, f"Service {name} not found")
    if host.port(port) is None:
        return Backend(None, port, f"{name} has no port {port}")
    return Backend(host, port)


def _is_granted(mesh: MeshSnapshot, route: HTTPRoute, reference: BackendObject, namespace: str) -> bool:
    return any(
        grant.namespace == namespace
        and any(
            (source.group, source.kind, source.namespace) == (GROUP, "HTTPRoute", route.namespace)
            for source in grant.spec.from_
        )
        and any(target.name in (None, reference.name) for target in grant.spec.to)
        for grant in mesh.rules.reference_grants
    )
