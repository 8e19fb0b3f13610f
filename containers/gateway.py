"""Generate containers/gateway/envoy.json, the configuration of Envoy in docker-compose.yaml, with the lab's translator.

The routes are those of istio/gateway and containers/gateway/reviews.yaml. Unlike the lab, this Envoy discovers
instances through the DNS of Compose and checks their health itself with /readyz, because no supervisor does.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bookinfo_lab.resources import images, workloads
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Gateway, Topology, Workload
from bookinfo_lab.runtime.validation import static
from bookinfo_lab.translate import translate
from bookinfo_lab.translate.bootstrap import bootstrap

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "containers/gateway/envoy.json"
MANIFESTS = ("istio/gateway/bookinfo-gateway.yaml", "containers/gateway/reviews.yaml")

OPERATIONS_PORT = 15090
"""The port of Envoy's statistics and readiness, as in Istio. It is not published."""

OTLP_PORT = 4318
"""The OTLP/HTTP port, which receives the services' spans and forwards them to Jaeger if it runs."""

_ADMIN = "/tmp/admin.sock"  # noqa: S108 - in the container, which has its own /tmp
_DISCARD_PORT = 4319
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

GATEWAY = Gateway(
    name="gateway",
    namespace="default",
    labels={"istio": "ingressgateway"},
    service_account="bookinfo-gateway",
    address="0.0.0.0",  # noqa: S104 - a container's every address
    ports={8080: ("0.0.0.0", 8080), 9080: ("0.0.0.0", 9080)},  # noqa: S104
)

Json = dict[str, Any]


def compose_topology(documents: list[Document], table: dict[str, images.Image]) -> Topology:
    """Return the workloads of kubernetes/bookinfo.yaml, each with its name in Compose as its address."""
    parsed = workloads.parse(documents, table)
    apps = [deployment.labels["app"] for deployment in parsed.deployments]
    instances = tuple(
        Workload(
            name=deployment.name,
            deployment=deployment.name,
            namespace=deployment.namespace,
            labels=deployment.labels,
            service_account=deployment.service_account,
            address=deployment.name if apps.count(app) > 1 else app,
            ports=deployment.ports,
            sidecar=False,
        )
        for deployment, app in zip(parsed.deployments, apps, strict=True)
    )
    return Topology(parsed.services, instances, (GATEWAY,))


def envoy(topology: Topology, rules: Rules) -> Json:
    """Return the complete configuration of Envoy."""
    config = translate(topology, rules)[GATEWAY.name]
    used = {cluster["name"] for cluster in config.clusters if f'"{cluster["name"]}"' in json.dumps(dict(config.routes))}
    clusters = tuple(_with_health_check(cluster) for cluster in config.clusters if cluster["name"] in used)
    bootstrap_config = static(GATEWAY, replace(config, clusters=clusters))
    resources = bootstrap_config["static_resources"]
    resources["clusters"] = [_with_dns(cluster, "1s") for cluster in resources["clusters"]]
    for listener in resources["listeners"]:
        listener["filter_chains"][0]["filters"][0]["typed_config"]["tracing"] = _tracing()
    resources["listeners"] += [_operations_listener(), _otlp_listener(), _discard_listener()]
    resources["clusters"] += [_admin_cluster(), *_collector_clusters()]
    bootstrap_config["stats_config"] = bootstrap(GATEWAY)["stats_config"]
    bootstrap_config["admin"] = {"address": {"pipe": {"path": _ADMIN, "mode": 0o600}}}
    return bootstrap_config


def generate() -> str:
    """Return the current text of containers/gateway/envoy.json."""
    documents = read_documents((ROOT / "kubernetes/bookinfo.yaml").read_text(), "kubernetes/bookinfo.yaml")
    rules = [document for name in MANIFESTS for document in read_documents((ROOT / name).read_text(), name)]
    topology = compose_topology(documents, images.read(ROOT / "images.yaml"))
    return json.dumps(envoy(topology, Rules.parse(rules)), indent=2) + "\n"


def _with_health_check(cluster: Json) -> Json:
    """Return `cluster` with a health check of each instance every second.

    A service that drains reports itself unready at once and serves for 2 s more (DRAIN_SECONDS), so no request is lost.
    """
    lab_only = ("eds_cluster_config", "transport_socket_matches", "upstream_bind_config")
    return {
        **{key: value for key, value in cluster.items() if key not in lab_only},
        "ignore_health_on_host_removal": True,
        "health_checks": [
            {
                "http_health_check": {"path": "/readyz"},
                "interval": "1s",
                "no_traffic_interval": "1s",
                "timeout": "2s",
                "healthy_threshold": 1,
                # A 503 takes effect at once. This threshold applies to timeouts, which a busy machine causes too.
                "unhealthy_threshold": 3,
            }
        ],
    }


def _with_dns(cluster: Json, refresh: str) -> Json:
    """Return `cluster` with DNS discovery. A name may resolve to several instances.

    It uses the resolver of the C library. Envoy's own resolver caches responses for their TTL, which is 10 min in the
    DNS of Compose.
    """
    extensions = "type.googleapis.com/envoy.extensions"
    kind = {
        "@type": f"{extensions}.clusters.dns.v3.DnsCluster",
        "dns_refresh_rate": refresh,
        "dns_lookup_family": "V4_PREFERRED",
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.getaddrinfo",
            "typed_config": {"@type": f"{extensions}.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"},
        },
    }
    rest = {key: value for key, value in cluster.items() if key != "type"}
    return {**rest, "cluster_type": {"name": "envoy.clusters.dns", "typed_config": kind}}


def _tracing() -> Json:
    return {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "gateway",
                "http_service": {
                    "http_uri": {"uri": "http://jaeger:4318/v1/traces", "cluster": "collector", "timeout": "2s"}
                },
            },
        },
        "random_sampling": {"value": 100},
    }


def _operations_listener() -> Json:
    routes = [
        {"match": {"path": path}, "route": {"cluster": "admin", "prefix_rewrite": path}}
        for path in ("/stats/prometheus", "/ready")
    ]
    return _listener("operations", "0.0.0.0", OPERATIONS_PORT, routes)  # noqa: S104


def _otlp_listener() -> Json:
    # A retry after a failed connection goes to `discard`: by then, outlier detection has ejected Jaeger's address.
    retry = {"retry_on": "connect-failure", "num_retries": 2, "retry_back_off": {"base_interval": "0.2s"}}
    route = {
        "match": {"prefix": "/v1/"},
        "route": {"cluster": "collector", "timeout": "5s", "retry_policy": retry},
    }
    return _listener("otlp", "0.0.0.0", OTLP_PORT, [route])  # noqa: S104


def _discard_listener() -> Json:
    """Return a listener that accepts and drops spans without a collector. An exporter would log and retry an error."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    return _listener("discard", "127.0.0.1", _DISCARD_PORT, [route])


def _admin_cluster() -> Json:
    return _cluster("admin", "STATIC", {"pipe": {"path": _ADMIN}})


def _collector_clusters() -> list[Json]:
    """Return the cluster `collector`, which prefers Jaeger and falls back to the discard listener.

    The engine's DNS may resolve the name of a removed container to its previous address, and a container that stops
    refuses connections before it is removed. One failed connection therefore ejects the address.
    """
    outlier_detection = {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "max_ejection_percent": 100,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "5s",
    }
    jaeger = _cluster("jaeger", "STRICT_DNS", {"socket_address": {"address": "jaeger", "port_value": OTLP_PORT}})
    discard = _cluster("discard", "STATIC", {"socket_address": {"address": "127.0.0.1", "port_value": _DISCARD_PORT}})
    collector = {
        "name": "collector",
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": ["jaeger", "discard"],
            },
        },
    }
    # Envoy does not wait for Jaeger at startup, because it may never run.
    return [
        {
            **_with_dns(jaeger, "5s"),
            "wait_for_warm_on_init": False,
            "outlier_detection": outlier_detection,
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        },
        discard,
        collector,
    ]


def _cluster(name: str, kind: str, address: Json) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": kind,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _listener(name: str, address: str, port: int, routes: list[Json]) -> Json:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": f"type.googleapis.com/{_HCM}",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [router],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [chain],
    }


if __name__ == "__main__":
    FILE.write_text(generate())
    sys.stdout.write(f"gateway: wrote {FILE.relative_to(ROOT)}\n")
