"""The route that the controller changes: a VirtualService or an HTTPRoute with the name of the service.

The controller replaces the weights of an existing route and keeps its timeouts, retries and header rules. It rejects a
route with further rules, such as rules for some users only, because weights alone cannot express them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bookinfo_canary.errors import RejectedError
from bookinfo_canary.release_plan import Service

Json = dict[str, Any]
Weights = Mapping[str, int]

FIELD_MANAGER = "bookinfo-canary"
"""The field manager in a cluster, and the value of the label app.kubernetes.io/managed-by."""


class RouteKind(Protocol):
    """A kind of route: where its weights are, and which objects define the versions of a service."""

    resource: str
    """Its name for kubectl: singular and group."""
    rules_field: str
    """The field of `spec` that contains the weights. It is an atomic list, so it has one field manager."""
    version_resource: str
    """The kind of object that defines the versions of a service, for kubectl."""

    def manifest(self, service: Service, weights: Weights, existing: Json | None) -> Json:
        """Return the existing or a new route with these weights."""
        ...

    def weights(self, service: Service, existing: Json) -> dict[str, int]:
        """Return the weights of a route by version, without those of 0.

        Raises:
            RejectedError: the route contains more than weights.
        """
        ...

    def missing_versions(self, service: Service, versions: Sequence[str], objects: Sequence[Json]) -> str:
        """Return what these versions lack to receive requests, given all objects of `version_resource`; or ""."""
        ...


class VirtualService:
    """Istio's VirtualService. Its versions are the subsets of a DestinationRule."""

    resource = "virtualservice.networking.istio.io"
    rules_field = "http"
    version_resource = "destinationrule.networking.istio.io"

    def manifest(self, service: Service, weights: Weights, existing: Json | None) -> Json:
        """See `RouteKind`."""
        spec: Json = existing["spec"] if existing else {"hosts": [service.name], "http": [{}]}
        (rule,) = spec["http"]
        route = [
            {"destination": {"host": service.name, "subset": version}, "weight": weight}
            for version, weight in weights.items()
        ]
        return _manifest(
            "networking.istio.io/v1", "VirtualService", service, {**spec, "http": [{**rule, "route": route}]}
        )

    def weights(self, service: Service, existing: Json) -> dict[str, int]:
        """See `RouteKind`."""
        spec = existing.get("spec", {})
        rules = spec.get("http", [])
        if len(rules) != 1 or "tcp" in spec or "tls" in spec or rules[0].get("match"):
            raise _further_rules("VirtualService", service, "rules for some requests only")
        entries = rules[0].get("route", [])
        weights: dict[str, int] = {}
        for entry in entries:
            destination = entry.get("destination", {})
            known = set(entry) <= {"destination", "weight"} and set(destination) <= {"host", "subset", "port"}
            if not known or destination.get("host") not in _hosts(service):
                raise _further_rules("VirtualService", service, "other hosts, or rules for one destination only")
            _add(weights, destination.get("subset", ""), entry.get("weight", 100 if len(entries) == 1 else 0))
        return weights

    def missing_versions(self, service: Service, versions: Sequence[str], objects: Sequence[Json]) -> str:
        """See `RouteKind`."""
        subsets = {
            subset["name"]
            for rule in objects
            if rule["spec"]["host"] in _hosts(service)
            for subset in rule["spec"].get("subsets", [])
        }
        missing = [version for version in versions if version not in subsets]
        return f"no DestinationRule defines the subset {' or '.join(missing)} of {service.name}" if missing else ""


class HTTPRoute:
    """The Gateway API's HTTPRoute for a mesh (GAMMA). Each version has a Service."""

    resource = "httproute.gateway.networking.k8s.io"
    rules_field = "rules"
    version_resource = "service"
    port = 9080

    def manifest(self, service: Service, weights: Weights, existing: Json | None) -> Json:
        """See `RouteKind`."""
        parent = {"group": "", "kind": "Service", "name": service.name, "port": self.port}
        spec: Json = existing["spec"] if existing else {"parentRefs": [parent], "rules": [{}]}
        (rule,) = spec["rules"]
        backends = [
            {"name": f"{service.name}-{version}", "port": self.port, "weight": weight}
            for version, weight in weights.items()
        ]
        spec = {**spec, "rules": [{**rule, "backendRefs": backends}]}
        return _manifest("gateway.networking.k8s.io/v1", "HTTPRoute", service, spec)

    def weights(self, service: Service, existing: Json) -> dict[str, int]:
        """See `RouteKind`."""
        rules = existing.get("spec", {}).get("rules", [])
        default_matches = [{"path": {"type": "PathPrefix", "value": "/"}}]  # The API server adds these.
        if len(rules) != 1 or rules[0].get("matches", default_matches) != default_matches:
            raise _further_rules("HTTPRoute", service, "rules for some requests only")
        weights: dict[str, int] = {}
        for backend in rules[0].get("backendRefs", []):
            if not set(backend) <= {"group", "kind", "name", "port", "weight"}:
                raise _further_rules("HTTPRoute", service, "rules for one destination only")
            _add(weights, backend["name"].removeprefix(f"{service.name}-"), backend.get("weight", 1))
        return weights

    def missing_versions(self, service: Service, versions: Sequence[str], objects: Sequence[Json]) -> str:
        """See `RouteKind`."""
        names = {item["metadata"]["name"] for item in objects}
        expected = [f"{service.name}-{version}" for version in versions]
        missing = [name for name in expected if name not in names]
        return f"Service {' or '.join(missing)} not found" if missing else ""


def format_weights(weights: Weights) -> str:
    """Return weights as text, such as `v1 90 %, v2 10 %`."""
    return ", ".join(f"{version or 'any version'} {weight} %" for version, weight in weights.items()) or "no version"


def _manifest(api_version: str, kind: str, service: Service, spec: Json) -> Json:
    metadata = {
        "name": service.name,
        "namespace": service.namespace,
        "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _hosts(service: Service) -> tuple[str, ...]:
    name, namespace = service.name, service.namespace
    return (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local")


def _add(weights: dict[str, int], version: str, weight: int) -> None:
    if weight:
        weights[version] = weights.get(version, 0) + weight


def _further_rules(kind: str, service: Service, rules: str) -> RejectedError:
    return RejectedError(f"{kind} {service.name} has {rules}, which would be lost; change it first, or use --take-over")
