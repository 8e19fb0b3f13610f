"""Listeners: where a proxy takes requests in.

They change only with ports, TLS modes and what is logged: all that decides about a request travels by routes, because
a changed listener does not reach connections that are open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.resources.conventions import METRICS_PATH, METRICS_PORT
from bookinfo_lab.resources.model.security import MutualTLSMode
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate import authorization, clusters, tls, xds
from bookinfo_lab.translate.jwt import jwt_filter
from bookinfo_lab.translate.rate_limit import rate_limit_filter

Json = dict[str, Any]

OUTBOUND = "outbound"
"""The listener of the application's own calls."""

OUTBOUND_PORT = 15080
"""Where a workload's sidecar takes the application's own calls (its HTTP_PROXY)."""

OUTBOUND_ROUTES = "http_proxy"

METRICS = "metrics"
"""The listener of whoever collects the application's metrics."""

_UUID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TLS_INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http."
_MESH_SERVER = "istio-envoy"

# Envoy takes `x-envoy-*` headers off requests from outside and counts private and loopback addresses as inside,
# which here is everybody. An empty list means its default again, so the list names an address that nobody has.
_NOBODY = {"address_prefix": "192.0.2.1", "prefix_len": 32}


def outbound(workload: Workload, observed: Json) -> Json:
    """The forward proxy of one workload: Istio's `http_proxy` listener (MeshConfig.proxyHttpPort)."""
    hcm = _connection_manager(
        "outbound",
        OUTBOUND_ROUTES,
        [*_client_filters(), _resolver(), _router()],
        upgrade_configs=[{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
        # Python's own HTTP client opens tunnels by HTTP/1.0 before its version 3.12.
        http_protocol_options={"accept_http_10": True},
        **observed,
    )
    listener = _listener(OUTBOUND, workload.address, OUTBOUND_PORT, [{"filters": [hcm]}])
    return {**listener, "traffic_direction": "OUTBOUND"}


def inbound(workload: Workload, port: int, routes: str, mode: MutualTLSMode, observed: Json) -> Json:
    """The front door of one workload: mutual TLS from other sidecars, plaintext from anybody else, as `mode` has it.

    Istio: buildInboundFilterChainOpts, pilot/pkg/networking/core/listener_inbound.go.
    """
    hcm = _connection_manager(
        f"inbound_{port}",
        routes,
        [rate_limit_filter(), jwt_filter(), *authorization.filters(), _router()],
        upgrade_configs=[{"upgrade_type": "websocket"}],
        server_name=_MESH_SERVER,
        forward_client_cert_details="APPEND_FORWARD",
        set_current_client_cert_details={"subject": True, "dns": True, "uri": True},
        **observed,
    )
    encrypted = {
        "name": "mutual-tls",
        "filter_chain_match": {"transport_protocol": "tls"},
        "transport_socket": tls.mutual_downstream(),
        "filters": [hcm],
    }
    plain = {"name": "plaintext", "filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": [hcm]}
    chains = {"STRICT": [encrypted], "DISABLE": [plain]}.get(mode, [encrypted, plain])
    listener = _listener(f"inbound_{port}", workload.address, port, chains)
    return {**listener, "traffic_direction": "INBOUND", "listener_filters": [_tls_inspector()]}


def metrics(workload: Workload) -> Json:
    """A door for GET of the application's metrics and nothing else, in plaintext whatever the mesh's policies say.

    Nothing is decided, recorded or traced here: a scraper has no identity in the mesh, and what it asks is no traffic.
    """
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    routes = [
        {"match": {"path": METRICS_PATH, "headers": [get]}, "route": {"cluster": clusters.METRICS, "timeout": "5s"}},
        {
            "match": {"path": METRICS_PATH},
            "direct_response": {"status": 405},
            "response_headers_to_add": [{"header": {"key": "allow", "value": "GET"}}],
        },
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]
    hcm = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _HCM,
            "stat_prefix": METRICS,
            "route_config": {"name": METRICS, "virtual_hosts": [virtual_host(METRICS, ["*"], routes)]},
            "http_filters": [_router()],
        },
    }
    return _listener(METRICS, workload.address, METRICS_PORT, [{"filters": [hcm]}])


@dataclass(frozen=True)
class Door:
    """One way into a gateway: a route configuration, and for whom it is."""

    routes: str
    transport: Json | None = None  # the TLS that it speaks
    sni: Sequence[str] = ()  # the names for which it does; any without


def gateway(address: tuple[str, int], doors: Iterable[Door], observed: Json) -> Json:
    """The edge: nothing that a request claims about itself or about where it comes from is believed."""
    chains = [_edge_chain(address, door, observed) for door in doors]
    encrypted = any("transport_socket" in chain for chain in chains)
    inspected = {"listener_filters": [_tls_inspector()]} if encrypted else {}
    return {**_listener(f"gateway_{address[1]}", *address, chains), **inspected}


def _edge_chain(address: tuple[str, int], door: Door, observed: Json) -> Json:
    hcm = _connection_manager(
        f"gateway_{address[1]}",
        door.routes,
        [rate_limit_filter(), jwt_filter(), *authorization.filters(), *_client_filters(), _router()],
        upgrade_configs=[{"upgrade_type": "websocket"}],
        server_name=_MESH_SERVER,
        use_remote_address=True,
        internal_address_config={"cidr_ranges": [_NOBODY]},
        # A client that gives its request an id finds it again in logs and traces.
        preserve_external_request_id=True,
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"subject": True, "uri": True},
        **observed,
    )
    if door.transport is None:
        return {"filters": [hcm]}
    names = [name for name in door.sni if name != "*"]
    return {
        "name": door.routes,
        "filter_chain_match": {"transport_protocol": "tls", **({"server_names": names} if names else {})},
        "transport_socket": door.transport,
        "filters": [hcm],
    }


def route_configuration(name: str, virtual_hosts: Sequence[Json], filters: Json, *, any_port: bool) -> Json:
    """Routes that requests choose among by their authority; with `any_port` the port in it does not count.

    `filters` configures HTTP filters for all of them.
    """
    return {
        "name": name,
        "virtual_hosts": list(virtual_hosts),
        "validate_clusters": False,
        "ignore_port_in_host_matching": any_port,
        **({"typed_per_filter_config": filters} if filters else {}),
    }


def virtual_host(name: str, domains: Iterable[str], routes: Sequence[Json]) -> Json:
    """One group of authorities and its routes."""
    return {"name": name, "domains": list(domains), "routes": list(routes), "include_request_attempt_count": True}


def _tls_inspector() -> Json:
    return {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _TLS_INSPECTOR}}


def _client_filters() -> list[Json]:
    """What acts on the caller's side. Each is inert until a route configures it; Istio's order."""
    return [
        {"name": "envoy.filters.http.fault", "typed_config": {"@type": f"{_FILTERS}fault.v3.HTTPFault"}},
        {"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{_FILTERS}cors.v3.Cors"}},
    ]


def _resolver() -> Json:
    """Resolves the host of a request that goes to the passthrough cluster."""
    config = {"@type": f"{_FILTERS}dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config": clusters.DNS_CACHE}
    return {"name": "envoy.filters.http.dynamic_forward_proxy", "typed_config": config}


def _router() -> Json:
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_FILTERS}router.v3.Router"}}


def _connection_manager(stat_prefix: str, routes: str, filters: Sequence[Json], **more: Any) -> Json:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _HCM,
            "stat_prefix": stat_prefix,
            "rds": {"route_config_name": routes, "config_source": xds.source(xds.route_file(routes))},
            "http_filters": list(filters),
            "request_id_extension": _request_id(more.get("tracing")),
            "normalize_path": True,
            "stream_idle_timeout": "0s",
            **more,
        },
    }


def _request_id(tracing: Json | None) -> Json:
    """An id that came is kept to the letter: Envoy's default marks the decision to trace in one of its digits.

    Envoy draws a share by the first eight digits of the id, and traces no request whose id has another form; where
    every request is traced, it need not draw.
    """
    draws = tracing is not None and tracing["random_sampling"]["value"] < 100
    config = {"@type": _UUID, "pack_trace_reason": False, "use_request_id_for_trace_sampling": draws}
    return {"typed_config": config}


def _listener(name: str, address: str, port: int, chains: Sequence[Json]) -> Json:
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": list(chains),
    }
