"""Clusters: what a proxy can call, and how it holds its connections."""

from collections.abc import Iterable, Iterator
from typing import Any

from bookinfo_lab import bootstrap, xds
from bookinfo_lab.render import tls
from bookinfo_lab.render.mesh import Endpoint, Host, Mesh, Port, Proxy
from bookinfo_lab.render.names import cluster_name, inbound_cluster_name

Json = dict[str, Any]

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_UNLIMITED = 4294967295
_CONNECT_TIMEOUT = "10s"
_TRANSPORT_MATCH = "envoy.transport_socket_match"

# A server that gives up an idle connection just as a request goes out on it loses that request. The services keep
# theirs for 75 s, so every proxy gives its own up first.
_IDLE_TIMEOUT = "60s"


def outbound(mesh: Mesh, proxy: Proxy) -> Iterator[tuple[Json, Json]]:
    """Each cluster that `proxy` can call, with its endpoints."""
    for host in mesh.hosts.values():
        for port in host.ports:
            name = cluster_name(port.number, "", host.name)
            yield _cluster(name, host, port, proxy), assignment(name, host.endpoints[port.number])


def inbound(port: int) -> Json:
    """The application behind its own sidecar."""
    name = inbound_cluster_name(port)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _CONNECT_TIMEOUT,
        "circuit_breakers": _thresholds(),
        "typed_extension_protocol_options": http_options(),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(bootstrap.APP_SOCKET)}}}}]}],
        },
    }


def assignment(name: str, endpoints: Iterable[Endpoint]) -> Json:
    """The endpoints of the cluster `name`."""
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [_endpoint(endpoint) for endpoint in endpoints]}]}


def http_options() -> Json:
    """How a cluster speaks HTTP."""
    return {
        HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
            "common_http_protocol_options": {"idle_timeout": _IDLE_TIMEOUT},
            "explicit_http_config": {"http_protocol_options": {}},
        }
    }


def _cluster(name: str, host: Host, port: Port, proxy: Proxy) -> Json:
    sni = f"outbound_.{port.number}_._.{host.name}"
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": xds.source(xds.endpoint_file(name)), "service_name": name},
        "connect_timeout": _CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": _thresholds(),
        # With no instance healthy a request fails; Envoy would pick any of them (its default is 50 %).
        "common_lb_config": {"healthy_panic_threshold": {}},
        "typed_extension_protocol_options": http_options(),
        # The called side knows its caller by this address.
        "upstream_bind_config": {"source_address": {"address": proxy.address, "port_value": 0}},
        "transport_socket_matches": [
            {
                "name": "tlsMode-istio",
                "match": {"tlsMode": "istio"},
                "transport_socket": tls.mutual_upstream(sni, host.identities),
            },
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": tls.plaintext()},
        ],
    }


def _thresholds() -> Json:
    """No limits: Envoy's own default of 1024 would be a circuit breaker that nobody asked for."""
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [{**dict.fromkeys(limits, _UNLIMITED), "track_remaining": True}]}


def _endpoint(endpoint: Endpoint) -> Json:
    rendered: Json = {
        "endpoint": {"address": {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}}
    }
    if endpoint.mutual_tls:
        rendered["metadata"] = {"filter_metadata": {_TRANSPORT_MATCH: {"tlsMode": "istio"}}}
    return rendered
