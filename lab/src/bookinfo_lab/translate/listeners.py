"""Listeners: the ports of a proxy, with their filter chains and HTTP filters.

A listener changes only with ports, TLS modes and telemetry. Everything else that decides about a request is part of the
routes, because a changed listener does not affect open connections.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.resources.conventions import METRICS_PATH, METRICS_PORT
from bookinfo_lab.resources.model.security import MutualTLSMode
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate import authorization, tls, xds
from bookinfo_lab.translate.clusters import DNS_CACHE, METRICS_CLUSTER
from bookinfo_lab.translate.jwt import jwt_filter
from bookinfo_lab.translate.rate_limit import rate_limit_filter
from bookinfo_lab.translate.xds import Json

OUTBOUND = "outbound"
"""The name of a sidecar's listener for the calls of its application."""

OUTBOUND_PORT = 15080
"""The port of that listener, which the application uses as its HTTP_PROXY."""

OUTBOUND_ROUTES = "http_proxy"
"""The name of its route configuration."""

METRICS = "metrics"
"""The name of a sidecar's listener for scrapes of the application's metrics."""

_UUID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TLS_INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http."
_MESH_SERVER = "istio-envoy"

# Envoy removes `x-envoy-*` headers from external requests. By default private and loopback addresses are internal, and
# here every client has one. An empty list means the default, so the list contains an address that no client has.
_NO_INTERNAL_ADDRESS = {"address_prefix": "192.0.2.1", "prefix_len": 32}


def outbound(workload: Workload, telemetry: Json) -> Json:
    """Return the forward proxy of one workload: Istio's `http_proxy` listener (MeshConfig.proxyHttpPort)."""
    hcm = _connection_manager(
        "outbound",
        OUTBOUND_ROUTES,
        [*_client_filters(), _dynamic_forward_proxy_filter(), _router_filter()],
        upgrade_configs=[{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
        # Python's own HTTP client opens tunnels by HTTP/1.0 before Python 3.12.
        http_protocol_options={"accept_http_10": True},
        **telemetry,
    )
    listener = _listener(OUTBOUND, workload.address, OUTBOUND_PORT, [{"filters": [hcm]}])
    return {**listener, "traffic_direction": "OUTBOUND"}


def inbound(workload: Workload, port: int, route_name: str, mode: MutualTLSMode, telemetry: Json) -> Json:
    """Return the inbound listener of one workload port. `mode` allows mutual TLS, plaintext, or both.

    Istio: buildInboundFilterChainOpts, pilot/pkg/networking/core/listener_inbound.go.
    """
    hcm = _connection_manager(
        f"inbound_{port}",
        route_name,
        [rate_limit_filter(), jwt_filter(), *authorization.filters(), _router_filter()],
        upgrade_configs=[{"upgrade_type": "websocket"}],
        server_name=_MESH_SERVER,
        forward_client_cert_details="APPEND_FORWARD",
        set_current_client_cert_details={"subject": True, "dns": True, "uri": True},
        **telemetry,
    )
    encrypted = {
        "name": "mutual-tls",
        "filter_chain_match": {"transport_protocol": "tls"},
        "transport_socket": tls.mutual_downstream(),
        "filters": [hcm],
    }
    plaintext = {"name": "plaintext", "filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": [hcm]}
    chains = {"STRICT": [encrypted], "DISABLE": [plaintext]}.get(mode, [encrypted, plaintext])
    listener = _listener(f"inbound_{port}", workload.address, port, chains)
    return {**listener, "traffic_direction": "INBOUND", "listener_filters": [_tls_inspector()]}


def metrics(workload: Workload) -> Json:
    """Return the listener for scrapes: GET of the application's metrics, in plaintext.

    Policies do not apply to it, because a scraper has no identity in the mesh. Scrapes are not recorded or traced,
    because they are not traffic of the application.
    """
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    routes = [
        {"match": {"path": METRICS_PATH, "headers": [get]}, "route": {"cluster": METRICS_CLUSTER, "timeout": "5s"}},
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
            "http_filters": [_router_filter()],
        },
    }
    return _listener(METRICS, workload.address, METRICS_PORT, [{"filters": [hcm]}])


@dataclass(frozen=True)
class FilterChain:
    """A filter chain of a gateway's listener: its routes, its TLS, and the connections that it accepts."""

    route_name: str  # of its RouteConfiguration
    transport_socket: Json | None = None  # TLS; None for plaintext
    sni: Sequence[str] = ()  # the SNI names of the connections that it accepts; empty for all


def gateway(address: tuple[str, int], chains: Iterable[FilterChain], telemetry: Json) -> Json:
    """Return a listener of a gateway. It trusts no header by which a client describes itself or its address."""
    configs = [_gateway_filter_chain(address, chain, telemetry) for chain in chains]
    encrypted = any("transport_socket" in config for config in configs)
    filters = {"listener_filters": [_tls_inspector()]} if encrypted else {}
    return {**_listener(f"gateway_{address[1]}", *address, configs), **filters}


def _gateway_filter_chain(address: tuple[str, int], chain: FilterChain, telemetry: Json) -> Json:
    hcm = _connection_manager(
        f"gateway_{address[1]}",
        chain.route_name,
        [rate_limit_filter(), jwt_filter(), *authorization.filters(), *_client_filters(), _router_filter()],
        upgrade_configs=[{"upgrade_type": "websocket"}],
        server_name=_MESH_SERVER,
        use_remote_address=True,
        internal_address_config={"cidr_ranges": [_NO_INTERNAL_ADDRESS]},
        # A client that sends a request id finds it in logs and traces.
        preserve_external_request_id=True,
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"subject": True, "uri": True},
        **telemetry,
    )
    if chain.transport_socket is None:
        return {"filters": [hcm]}
    names = [name for name in chain.sni if name != "*"]
    return {
        "name": chain.route_name,
        "filter_chain_match": {"transport_protocol": "tls", **({"server_names": names} if names else {})},
        "transport_socket": chain.transport_socket,
        "filters": [hcm],
    }


def route_configuration(name: str, virtual_hosts: Sequence[Json], filters: Json, *, ignore_port: bool) -> Json:
    """Return a RouteConfiguration. Envoy chooses a virtual host by the authority of a request.

    `filters` configures HTTP filters for all routes. `ignore_port` ignores the port of the authority.
    """
    return {
        "name": name,
        "virtual_hosts": list(virtual_hosts),
        "validate_clusters": False,
        "ignore_port_in_host_matching": ignore_port,
        **({"typed_per_filter_config": filters} if filters else {}),
    }


def virtual_host(name: str, domains: Iterable[str], routes: Sequence[Json]) -> Json:
    """Return a virtual host: the authorities that it matches, and its routes."""
    return {"name": name, "domains": list(domains), "routes": list(routes), "include_request_attempt_count": True}


def _tls_inspector() -> Json:
    return {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _TLS_INSPECTOR}}


def _client_filters() -> list[Json]:
    """Return the filters on the caller's side, in Istio's order. Each is inactive until a route configures it."""
    return [
        {"name": "envoy.filters.http.fault", "typed_config": {"@type": f"{_FILTERS}fault.v3.HTTPFault"}},
        {"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{_FILTERS}cors.v3.Cors"}},
    ]


def _dynamic_forward_proxy_filter() -> Json:
    """Return the filter that resolves the host of a request to the passthrough cluster."""
    config = {"@type": f"{_FILTERS}dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config": DNS_CACHE}
    return {"name": "envoy.filters.http.dynamic_forward_proxy", "typed_config": config}


def _router_filter() -> Json:
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_FILTERS}router.v3.Router"}}


def _connection_manager(stat_prefix: str, route_name: str, filters: Sequence[Json], **fields: Any) -> Json:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _HCM,
            "stat_prefix": stat_prefix,
            "rds": {"route_config_name": route_name, "config_source": xds.config_source(xds.route_file(route_name))},
            "http_filters": list(filters),
            "request_id_extension": _request_id(fields.get("tracing")),
            "normalize_path": True,
            "stream_idle_timeout": "0s",
            **fields,
        },
    }


def _request_id(tracing: Json | None) -> Json:
    """Return the handling of request ids. A client's id is forwarded unchanged.

    By default Envoy stores the sampling decision in one digit of the id. Envoy also samples by the first eight digits
    of the id, and does not trace a request whose id has another form. Sampling by id is off if every request is traced.
    """
    samples_by_id = tracing is not None and tracing["random_sampling"]["value"] < 100
    config = {"@type": _UUID, "pack_trace_reason": False, "use_request_id_for_trace_sampling": samples_by_id}
    return {"typed_config": config}


def _listener(name: str, address: str, port: int, chains: Sequence[Json]) -> Json:
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": list(chains),
    }
