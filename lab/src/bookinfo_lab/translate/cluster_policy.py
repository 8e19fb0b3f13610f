"""The parts of a cluster that a DestinationRule's traffic policy sets, except TLS.

Istio: pilot/pkg/networking/core/cluster_traffic_policy.go.
"""

from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.networking import (
    ConnectionPool,
    ConsistentHash,
    LoadBalancer,
    OutlierDetection,
    TCPKeepalive,
)
from bookinfo_lab.translate.xds import Json

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

CONNECT_TIMEOUT_SECONDS = 10.0
"""The default of a connection pool's `connectTimeout`."""

# A server that closes an idle connection while a request arrives on it loses that request. The services keep idle
# connections for 75 s, so every proxy closes its own first.
_IDLE_TIMEOUT_SECONDS = 60.0

_UNLIMITED = 4294967295


def connect_timeout(pool: ConnectionPool) -> Json:
    """Return the time limit for opening a connection."""
    return {"connect_timeout": duration(pool.tcp.connect_timeout or CONNECT_TIMEOUT_SECONDS)}


def circuit_breakers(pool: ConnectionPool) -> Json:
    """Return the limits of `pool`. A limit that is not set is unlimited: Envoy's own default is 1024."""
    limits = {
        "max_connections": pool.tcp.max_connections,
        "max_pending_requests": pool.http.http1_max_pending_requests,
        "max_requests": pool.http.http2_max_requests,
        "max_retries": pool.http.max_retries,
    }
    # Zero is "not set" in Istio's API.
    thresholds = {name: limit or _UNLIMITED for name, limit in limits.items()}
    return {"circuit_breakers": {"thresholds": [{**thresholds, "track_remaining": True}]}}


def tcp_keepalive(keepalive: TCPKeepalive | None) -> Json:
    """Return TCP keepalive. The operating system's default applies to a missing field. Istio: applyTCPKeepalive."""
    if keepalive is None:
        return {}
    fields = {
        "keepalive_probes": keepalive.probes,
        "keepalive_time": int(keepalive.time or 0),
        "keepalive_interval": int(keepalive.interval or 0),
    }
    options = {name: value for name, value in fields.items() if value}
    return {"upstream_connection_options": {"tcp_keepalive": options}}


def http_options(pool: ConnectionPool, *, auto_sni: bool = False) -> Json:
    """Return the HTTP/1.1 options of a cluster's connections."""
    common: Json = {"idle_timeout": duration(pool.http.idle_timeout or _IDLE_TIMEOUT_SECONDS)}
    if pool.http.max_requests_per_connection:
        common["max_requests_per_connection"] = pool.http.max_requests_per_connection
    if pool.tcp.max_connection_duration:
        common["max_connection_duration"] = duration(pool.tcp.max_connection_duration)
    options: Json = {
        "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
        "common_http_protocol_options": common,
        "explicit_http_config": {"http_protocol_options": {}},
    }
    if auto_sni:
        options["upstream_http_protocol_options"] = {"auto_sni": True, "auto_san_validation": True}
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: options}}


def load_balancing(balancer: LoadBalancer | None) -> Json:
    """Return the load balancer. The default is LEAST_REQUEST, which LEAST_CONN also means. Istio: applyLoadBalancer."""
    if balancer is not None and balancer.consistent_hash is not None:
        return _consistent_hash(balancer.consistent_hash)
    simple = balancer.simple if balancer else None
    return {"lb_policy": simple if simple in ("RANDOM", "ROUND_ROBIN") else "LEAST_REQUEST"}


def _consistent_hash(consistent_hash: ConsistentHash) -> Json:
    if consistent_hash.maglev is not None:
        size = consistent_hash.maglev.table_size
        return {"lb_policy": "MAGLEV", **({"maglev_lb_config": {"table_size": size}} if size else {})}
    ring_hash = consistent_hash.ring_hash
    size = ring_hash.minimum_ring_size if ring_hash else consistent_hash.minimum_ring_size or 1024
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": size}}


def outlier_detection(outlier: OutlierDetection | None) -> Json:
    """Return outlier detection. A count of 0 disables it; Envoy's default applies to a missing count.

    Istio: applyOutlierDetection.
    """
    if outlier is None:
        # A request fails if no endpoint is healthy. Envoy's own default (50 %) would choose any endpoint instead.
        return {"common_lb_config": {"healthy_panic_threshold": {}}}
    detection: Json = {"enforcing_success_rate": 0}
    local_origin_failures = outlier.consecutive_local_origin_failures or None  # here 0 is the same as missing
    for name, count in (
        ("consecutive_5xx", outlier.consecutive5xx_errors),
        ("consecutive_gateway_failure", outlier.consecutive_gateway_errors),
        ("consecutive_local_origin_failure", local_origin_failures),
    ):
        if count is not None:
            detection[name] = count
            detection[f"enforcing_{name}"] = 100 if count > 0 else 0
    for name, seconds in (("interval", outlier.interval), ("base_ejection_time", outlier.base_ejection_time)):
        if seconds is not None:
            detection[name] = duration(seconds)
    if outlier.max_ejection_percent:
        detection["max_ejection_percent"] = outlier.max_ejection_percent
    if outlier.split_external_local_origin_errors:
        detection["split_external_local_origin_errors"] = True
        detection["enforcing_local_origin_success_rate"] = 0
    panic = {"value": outlier.min_health_percent} if outlier.min_health_percent else {}
    return {"outlier_detection": detection, "common_lb_config": {"healthy_panic_threshold": panic}}
