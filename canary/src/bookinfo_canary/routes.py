"""The one object that is changed: a VirtualService or an HTTPRoute with the name of the service.

A route that is there is kept but for its weights (time limits, retries, header rules). One that says more than that,
such as rules for some users only, cannot be split by weight alone, and is refused rather than overwritten.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bookinfo_canary.errors import RefusedError
from bookinfo_canary.plan import Service

Json = dict[str, Any]
Weights = Mapping[str, int]

MANAGER = "bookinfo-canary"
"""The field manager in a cluster, and the value of the label app.kubernetes.io/managed-by."""


class RouteKind(Protocol):
    """How weights stand in a kind of object, and what makes versions of a service there."""

    resource: str
    """Singular and group, as kubectl takes it."""
    rules: str
    """The field of `spec` that holds the weights. It is a list that has one manager as a whole."""
    needs: str
    """The kind of object that makes versions of a service, as kubectl takes it."""

    def body(self, service: Service, weights: Weights, existing: Json | None) -> Json:
        """The object with these weights, and otherwise as it is."""
        ...

    def weights(self, service: Service, existing: Json) -> dict[str, int]:
        """The weights of an object, by version; those of 0 are left out.

        Raises:
            RefusedError: it holds more than weights.
        """
        ...

    def lacking(self, service: Service, versions: Sequence[str], found: Sequence[Json]) -> str:
        """What is missing for requests to reach these versions, given the objects of the kind `needs`; or nothing."""
        ...


class VirtualService:
    """Istio's, with a DestinationRule's subsets as versions."""

    resource = "virtualservice.networking.istio.io"
    rules = "http"
    needs = "destinationrule.networking.istio.io"

    def body(self, service: Service, weights: Weights, existing: Json | None) -> Json:
        """See `RouteKind`."""
        spec: Json = existing["spec"] if existing else {"hosts": [service.name], "http": [{}]}
        (rule,) = spec["http"]
        route = [
            {"destination": {"host": service.name, "subset": version}, "weight": weight}
            for version, weight in weights.items()
        ]
        return _object(
            "networking.istio.io/v1", "VirtualService", service, {**spec, "http": [{**rule, "route": route}]}
        )

    def weights(self, service: Service, existing: Json) -> dict[str, int]:
        """See `RouteKind`."""
        spec = existing.get("spec", {})
        rules = spec.get("http", [])
        if len(rules) != 1 or "tcp" in spec or "tls" in spec or rules[0].get("match"):
            raise _more("VirtualService", service, "rules for some requests only")
        entries = rules[0].get("route", [])
        weights: dict[str, int] = {}
        for entry in entries:
            destination = entry.get("destination", {})
            known = set(entry) <= {"destination", "weight"} and set(destination) <= {"host", "subset", "port"}
            if not known or destination.get("host") not in _hosts(service):
                raise _more("VirtualService", service, "other hosts, or rules for one destination only")
            _add(weights, destination.get("subset", ""), entry.get("weight", 100 if len(entries) == 1 else 0))
        return weights

    def lacking(self, service: Service, versions: Sequence[str], found: Sequence[Json]) -> str:
        """See `RouteKind`."""
        subsets = {
            subset["name"]
            for rule in found
            if rule["spec"]["host"] in _hosts(service)
            for subset in rule["spec"].get("subsets", [])
        }
        absent = [version for version in versions if version not in subsets]
        return f"no DestinationRule has {service.name}'s subset {' or '.join(absent)}" if absent else ""


class HTTPRoute:
    """The Gateway API's for a mesh (GAMMA), with a Service for each version."""

    resource = "httproute.gateway.networking.k8s.io"
    rules = "rules"
    needs = "service"
    port = 9080

    def body(self, service: Service, weights: Weights, existing: Json | None) -> Json:
        """See `RouteKind`."""
        parent = {"group": "", "kind": "Service", "name": service.name, "port": self.port}
        spec: Json = existing["spec"] if existing else {"parentRefs": [parent], "rules": [{}]}
        (rule,) = spec["rules"]
        backends = [
            {"name": f"{service.name}-{version}", "port": self.port, "weight": weight}
            for version, weight in weights.items()
        ]
        spec = {**spec, "rules": [{**rule, "backendRefs": backends}]}
        return _object("gateway.networking.k8s.io/v1", "HTTPRoute", service, spec)

    def weights(self, service: Service, existing: Json) -> dict[str, int]:
        """See `RouteKind`."""
        rules = existing.get("spec", {}).get("rules", [])
        everything = [{"path": {"type": "PathPrefix", "value": "/"}}]  # what the API server adds
        if len(rules) != 1 or rules[0].get("matches", everything) != everything:
            raise _more("HTTPRoute", service, "rules for some requests only")
        weights: dict[str, int] = {}
        for backend in rules[0].get("backendRefs", []):
            if not set(backend) <= {"group", "kind", "name", "port", "weight"}:
                raise _more("HTTPRoute", service, "rules for one destination only")
            _add(weights, backend["name"].removeprefix(f"{service.name}-"), backend.get("weight", 1))
        return weights

    def lacking(self, service: Service, versions: Sequence[str], found: Sequence[Json]) -> str:
        """See `RouteKind`."""
        names = {item["metadata"]["name"] for item in found}
        absent = [f"{service.name}-{version}" for version in versions if f"{service.name}-{version}" not in names]
        return f"there is no Service {' or '.join(absent)}" if absent else ""


def told(weights: Weights) -> str:
    """Weights for a person."""
    return ", ".join(f"{version or 'any version'} {weight} %" for version, weight in weights.items()) or "nobody"


def _object(version: str, kind: str, service: Service, spec: Json) -> Json:
    metadata = {
        "name": service.name,
        "namespace": service.namespace,
        "labels": {"app.kubernetes.io/managed-by": MANAGER},
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _hosts(service: Service) -> tuple[str, ...]:
    name, namespace = service.name, service.namespace
    return (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local")


def _add(weights: dict[str, int], version: str, weight: int) -> None:
    if weight:
        weights[version] = weights.get(version, 0) + weight


def _more(kind: str, service: Service, what: str) -> RefusedError:
    return RefusedError(f"{kind} {service.name} has {what}, which would be lost: change it first, or say --take-over")
