"""How one Envoy of the lab starts: its identity, where it reads its configuration, how it is watched.

Every path is relative to the proxy's directory: see `resources.proxy_directory`.
"""

from typing import Any

from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.conventions import COLLECTOR
from bookinfo_lab.resources.topology import CLUSTER_DOMAIN, Gateway, Proxy
from bookinfo_lab.translate import xds

DRAIN_SECONDS = 30
"""How long a replaced listener's connections may go on: longer than the longest delay and time limit of a scenario."""

_OWNER_ONLY = 0o600

# Spans are looked at while things happen; by default they are sent every 5 s, and then five at a time.
_RUNTIME = {"tracing.opentelemetry.flush_interval_ms": 500, "tracing.opentelemetry.min_flush_spans": 50}

# Envoy's own rule ends a cluster's name at its first dot, and every name here holds dots (`outbound|9080||reviews.
# default.svc.cluster.local`), so the name is told by what may follow it. Istio's bootstrap template has a like rule.
_CLUSTER_NAME = (
    r"^cluster\.(((?:outbound|inbound)\|[0-9]+\|[^|]*\|.*?)\.)"
    r"(?:assignment_|bind_|circuit_breakers\.|default\.total|external\.upstream|http1\.|init_fetch|internal\.upstream"
    r"|lb_|max_host|membership_|outlier_detection\.|retry_|ring_hash_lb\.|ssl\.|tlsMode-|update_|upstream_|version"
    r"|warming_)"
)
_DEFAULT_TAGS = ("envoy.http_conn_manager_prefix", "envoy.response_code", "envoy.response_code_class")


def arguments(log_level: str = "warning") -> list[str]:
    """Envoy's command line, for a process whose working directory is the proxy's own folder.

    Unknown fields are refused in dynamic configuration too (by default Envoy only warns), and connections of a
    replaced listener are asked to close with their next answer rather than gradually.
    """
    return [
        *("--config-path", str(proxy_directory.BOOTSTRAP)),
        *("--concurrency", "1"),
        *("--log-level", log_level),
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
        *("--drain-strategy", "immediate"),
        *("--drain-time-s", str(DRAIN_SECONDS)),
        # An access log is read while things happen; by default it is written every 10 s.
        *("--file-flush-interval-msec", "500"),
    ]


def bootstrap(proxy: Proxy, collector: tuple[str, int] | None = None) -> dict[str, Any]:
    """The bootstrap configuration of `proxy`, which can send its spans to an OTLP/HTTP receiver at `collector`."""
    return {
        "node": node(proxy),
        "admin": {"address": {"pipe": {"path": str(proxy_directory.ADMIN_SOCKET), "mode": _OWNER_ONLY}}},
        "dynamic_resources": {
            "lds_config": xds.source(xds.LISTENERS),
            "cds_config": xds.source(xds.CLUSTERS),
        },
        "static_resources": {"clusters": static_clusters(collector)},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        # Histograms are merged at each flush: with the default of 5 s a short run has no percentiles.
        "stats_flush_interval": "1s",
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [
                {"tag_name": "envoy.cluster_name", "regex": _CLUSTER_NAME},
                *({"tag_name": name} for name in _DEFAULT_TAGS),
            ],
        },
    }


def static_clusters(collector: tuple[str, int] | None) -> list[dict[str, Any]]:
    """What a listener needs while it loads, before the first CDS: its tracer's receiver."""
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


def node(proxy: Proxy) -> dict[str, Any]:
    """The identity of `proxy` towards whoever reads its statistics and traces, in Istio's form."""
    role = "router" if isinstance(proxy, Gateway) else "sidecar"
    app = proxy.labels.get("app") or proxy.name
    return {
        "id": f"{role}~{proxy.address}~{proxy.name}.{proxy.namespace}~{proxy.namespace}.svc.{CLUSTER_DOMAIN}",
        "cluster": f"{app}.{proxy.namespace}",
    }
