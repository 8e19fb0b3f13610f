"""Routes: where a request goes, decided for each request. Istio: pilot/pkg/networking/core/route/route.go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.model.networking import Destination, HTTPMatch, HTTPRoute, VirtualServiceSpec
from bookinfo_lab.model.rules import Rule
from bookinfo_lab.render.match import ANY_PATH, is_catch_all, route_match
from bookinfo_lab.render.mesh import Host, Mesh, Port
from bookinfo_lab.render.names import cluster_name, full_host, gateway_reference, inbound_cluster_name

Json = dict[str, Any]

NO_TIMEOUT = "0s"

# MeshConfig's default: nothing that the server may have begun to work on is tried again.
DEFAULT_RETRY: Json = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": "5",
}


@dataclass(frozen=True)
class Source:
    """Who asks: what Istio decides when it translates, before any request."""

    namespace: str
    labels: Mapping[str, str]
    gateways: frozenset[str]  # "mesh" for a sidecar, else namespace/name of the Gateways that share the listener
    port: int


def default_route(host: Host, port: Port) -> Json:
    """The route to a host for which no rule holds."""
    action = {
        "cluster": cluster_name(port.number, "", host.name),
        "timeout": NO_TIMEOUT,
        "max_stream_duration": {"max_stream_duration": NO_TIMEOUT, "grpc_timeout_header_max": NO_TIMEOUT},
        "retry_policy": DEFAULT_RETRY,
    }
    return {
        "name": "default",
        "match": ANY_PATH,
        "route": action,
        "decorator": {"operation": f"{host.name}:{port.number}/*"},
    }


def inbound_route(port: int) -> Json:
    """The route from a sidecar to its own application. A request that has begun there is never tried again."""
    return {
        "name": "default",
        "match": ANY_PATH,
        "route": {
            "cluster": inbound_cluster_name(port),
            "timeout": NO_TIMEOUT,
            "max_stream_duration": {"max_stream_duration": NO_TIMEOUT, "grpc_timeout_header_max": NO_TIMEOUT},
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2},
        },
    }


def virtual_service_routes(mesh: Mesh, rule: Rule[VirtualServiceSpec], source: Source) -> list[Json]:
    """The routes of `rule` for `source`, in its own order; what follows a catch-all is dead and left out."""
    routes = []
    for index, http in enumerate(rule.spec.http):
        for match in http.match or (HTTPMatch(),):
            if not _applies(match, rule.namespace, source):
                continue
            routes.append(_route(mesh, rule, index, http, match, source))
            if is_catch_all(match):
                return routes
    return routes


def _applies(match: HTTPMatch, namespace: str, source: Source) -> bool:
    """Istio: sourceMatchHTTP. Gateways, if named, take the place of the source's labels and namespace."""
    if match.port is not None and match.port != source.port:
        return False
    if match.gateways:
        return any(gateway_reference(gateway, namespace) in source.gateways for gateway in match.gateways)
    labels = all(source.labels.get(key) == value for key, value in match.source_labels.items())
    return labels and match.source_namespace in (None, source.namespace)


def _route(
    mesh: Mesh, rule: Rule[VirtualServiceSpec], index: int, http: HTTPRoute, match: HTTPMatch, source: Source
) -> Json:
    rendered: Json = {"match": route_match(match)}
    if http.name:
        rendered["name"] = ".".join(filter(None, (http.name, match.name)))
    action: Json = {
        "timeout": NO_TIMEOUT,
        "max_stream_duration": {"max_stream_duration": NO_TIMEOUT, "grpc_timeout_header_max": NO_TIMEOUT},
        "retry_policy": DEFAULT_RETRY,
        **_destinations(mesh, rule, index, http),
    }
    rendered["route"] = action
    rendered["decorator"] = {"operation": f"{_host(rule, http.route[0].destination)}:{source.port}/*"}
    return rendered


def _destinations(mesh: Mesh, rule: Rule[VirtualServiceSpec], index: int, http: HTTPRoute) -> Json:
    clusters = list(_weighted(mesh, rule, index, http))
    if len(clusters) == 1:
        return {"cluster": clusters[0]["name"]}
    return {"weighted_clusters": {"clusters": clusters}}


def _weighted(mesh: Mesh, rule: Rule[VirtualServiceSpec], index: int, http: HTTPRoute) -> Iterator[Json]:
    for number, destination in enumerate(http.route):
        path = ("spec", "http", index, "route", number, "destination")
        name = _cluster(mesh, rule, destination.destination, path)
        yield {"name": name, "weight": destination.weight}


def _cluster(mesh: Mesh, rule: Rule[VirtualServiceSpec], destination: Destination, path: tuple[str | int, ...]) -> str:
    name = _host(rule, destination)
    host = mesh.hosts.get(name)
    if host is None:
        raise rule.document.error(
            f"there is no service {name}", (*path, "host"), "name a Service or a ServiceEntry that is applied"
        )
    port = destination.port.number if destination.port else host.ports[0].number
    return cluster_name(port, destination.subset or "", name)


def _host(rule: Rule[VirtualServiceSpec], destination: Destination) -> str:
    return full_host(destination.host, rule.namespace)
