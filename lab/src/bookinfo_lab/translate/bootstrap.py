"""The start of one Envoy: its command line, its identity, its configuration files and its statistics.

Every path is relative to the proxy's directory: see `resources.proxy_directory`.
"""

from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.conventions import COLLECTOR
from bookinfo_lab.resources.topology import CLUSTER_DOMAIN, Gateway, Proxy
from bookinfo_lab.translate import xds
from bookinfo_lab.translate.xds import Json

DRAIN_SECONDS = 30
"""How long connections of a replaced listener stay open: longer than the longest delay and timeout of a scenario."""

_OWNER_ONLY = 0o600

# By default Envoy sends spans every 5 s or after five spans. A user who follows a request wants to see them earlier.
_RUNTIME = {"tracing.opentelemetry.flush_interval_ms": 500, "tracing.opentelemetry.min_flush_spans": 50}

# Envoy's own rule ends the name of a cluster at the first dot. Names here contain dots (`outbound|9080||reviews.
# default.svc.cluster.local`), so this rule ends the name before the known statistics. Istio's bootstrap template has a
# similar rule.
_CLUSTER_NAME = (
    r"^cluster\.(((?:outbound|inbound)\|[0-9]+\|[^|]*\|.*?)\.)"
    r"(?:assignment_|bind_|circuit_breakers\.|default\.total|external\.upstream|http1\.|init_fetch|internal\.upstream"
    r"|lb_|max_host|membership_|outlier_detection\.|retry_|ring_hash_lb\.|ssl\.|tlsMode-|update_|upstream_|version"
    r"|warming_)"
)
_DEFAULT_TAGS = ("envoy.http_conn_manager_prefix", "envoy.response_code", "envoy.response_code_class")


def arguments(log_level: str = "warning") -> list[str]:
    """Return Envoy's command line arguments. The working directory of the process is the proxy's directory.

    Envoy rejects unknown fields in dynamic configuration, too; by default it only warns. It closes each connection of a
    replaced listener with the next response, instead of gradually.
    """
    return [
        *("--config-path", str(proxy_directory.BOOTSTRAP)),
        *("--concurrency", "1"),
        *("--log-level", log_level),
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
        *("--drain-strategy", "immediate"),
        *("--drain-time-s", str(DRAIN_SECONDS)),
        # By default Envoy writes access logs every 10 s.
        *("--file-flush-interval-msec", "500"),
    ]


def bootstrap(proxy: Proxy, collector: tuple[str, int] | None = None) -> Json:
    """Return the bootstrap configuration of `proxy`. `collector` is the OTLP/HTTP receiver of its spans."""
    return {
        "node": node(proxy),
        "admin": {"address": {"pipe": {"path": str(proxy_directory.ADMIN_SOCKET), "mode": _OWNER_ONLY}}},
        "dynamic_resources": {
            "lds_config": xds.config_source(xds.LISTENERS),
            "cds_config": xds.config_source(xds.CLUSTERS),
        },
        "static_resources": {"clusters": static_clusters(collector)},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        # Envoy merges histograms at each flush. With the default of 5 s a short run has no percentiles.
        "stats_flush_interval": "1s",
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [
                {"tag_name": "envoy.cluster_name", "regex": _CLUSTER_NAME},
                *({"tag_name": name} for name in _DEFAULT_TAGS),
            ],
        },
    }


def static_clusters(collector: tuple[str, int] | None) -> list[Json]:
    """Return the cluster of the span receiver. A tracer needs it when its listener loads, before the first CDS."""
    if collector is None:
        return []
    socket = {"socket_address": {"address": collector[0], "port_value": collector[1]}}
    assignment = {
        "cluster_name": COLLECTOR,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket}}]}],
    }
    return [
        {"name": COLLECTOR, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment},
    ]


def node(proxy: Proxy) -> Json:
    """Return the identity of `proxy` in its statistics and traces, in Istio's form."""
    role = "router" if isinstance(proxy, Gateway) else "sidecar"
    app = proxy.labels.get("app") or proxy.name
    return {
        "id": f"{role}~{proxy.address}~{proxy.name}.{proxy.namespace}~{proxy.namespace}.svc.{CLUSTER_DOMAIN}",
        "cluster": f"{app}.{proxy.namespace}",
    }
