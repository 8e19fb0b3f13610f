"""Makes containers/gateway/envoy.json: what the Envoy of docker-compose.yaml runs, rendered by the lab's renderer.

The routes are those of istio/gateway and containers/gateway/reviews.yaml. What differs from the lab is how instances
are found (compose's DNS) and known to be well (their own /readyz), since nobody supervises them from outside.
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
from bookinfo_lab.translate import render
from bookinfo_lab.translate.bootstrap import bootstrap

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "containers/gateway/envoy.json"
MANIFESTS = ("istio/gateway/bookinfo-gateway.yaml", "containers/gateway/reviews.yaml")

OPERATIONS_PORT = 15090
"""Where Envoy's own statistics and readiness are, as in Istio; published nowhere."""

OTLP_PORT = 4318
"""OTLP over HTTP: the services' spans, for Jaeger if it runs."""

_ADMIN = "/tmp/admin.sock"  # noqa: S108 - in the container, which has its own /tmp
_DISCARDED = 4319
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
    """The workloads of kubernetes/bookinfo.yaml, each at its name in compose."""
    found = workloads.parse(documents, table)
    apps = [deployment.labels["app"] for deployment in found.deployments]
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
        for deployment, app in zip(found.deployments, apps, strict=True)
    )
    return Topology(found.services, instances, (GATEWAY,))


def envoy(topology: Topology, rules: Rules) -> Json:
    """Envoy's whole configuration."""
    config = render(topology, rules)[GATEWAY.name]
    used = {cluster["name"] for cluster in config.clusters if f'"{cluster["name"]}"' in json.dumps(dict(config.routes))}
    clusters = tuple(_asked(cluster) for cluster in config.clusters if cluster["name"] in used)
    needed = replace(config, clusters=clusters)
    whole = static(GATEWAY, needed)
    resources = whole["static_resources"]
    resources["clusters"] = [_by_name(cluster, "1s") for cluster in resources["clusters"]]
    for listener in resources["listeners"]:
        listener["filter_chains"][0]["filters"][0]["typed_config"]["tracing"] = _tracing()
    resources["listeners"] += [_operations(), _otlp(), _discard()]
    resources["clusters"] += [_admin(), *_collectors()]
    whole["stats_config"] = bootstrap(GATEWAY)["stats_config"]
    whole["admin"] = {"address": {"pipe": {"path": _ADMIN, "mode": 0o600}}}
    return whole


def rendered() -> str:
    """What containers/gateway/envoy.json should hold now."""
    documents = read_documents((ROOT / "kubernetes/bookinfo.yaml").read_text(), "kubernetes/bookinfo.yaml")
    rules = [document for name in MANIFESTS for document in read_documents((ROOT / name).read_text(), name)]
    topology = compose_topology(documents, images.read(ROOT / "images.yaml"))
    return json.dumps(envoy(topology, Rules.parse(rules)), indent=2) + "\n"


def _asked(cluster: Json) -> Json:
    """`cluster` with instances that are asked every second whether they want requests.

    A service that drains says no at once and serves for two seconds more (DRAIN_SECONDS), so none is lost.
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
                # A clear no counts at once. This is for no answer at all: a machine that is busy is not ill.
                "unhealthy_threshold": 3,
            }
        ],
    }


def _by_name(cluster: Json, refresh: str) -> Json:
    """`cluster` with its addresses taken as names, each of which may stand for several instances.

    By the C library's resolver: Envoy's own keeps an answer for as long as it may live, and compose's DNS says 10 min.
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


def _operations() -> Json:
    routes = [
        {"match": {"path": path}, "route": {"cluster": "admin", "prefix_rewrite": path}}
        for path in ("/stats/prometheus", "/ready")
    ]
    return _listener("operations", "0.0.0.0", OPERATIONS_PORT, routes)  # noqa: S104


def _otlp() -> Json:
    # The try after one that found nobody goes to `discard`: by then what did not answer is set aside.
    retry = {"retry_on": "connect-failure", "num_retries": 2, "retry_back_off": {"base_interval": "0.2s"}}
    route = {
        "match": {"prefix": "/v1/"},
        "route": {"cluster": "collector", "timeout": "5s", "retry_policy": retry},
    }
    return _listener("otlp", "0.0.0.0", OTLP_PORT, [route])  # noqa: S104


def _discard() -> Json:
    """Takes what nobody collects: an exporter that meets an error would log it, and try again."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    return _listener("discard", "127.0.0.1", _DISCARDED, [route])


def _admin() -> Json:
    return _cluster("admin", "STATIC", {"pipe": {"path": _ADMIN}})


def _collectors() -> list[Json]:
    """Jaeger, or nobody.

    A name whose container is gone goes on standing for its address where the engine's DNS cannot say that it is gone,
    and a container that stops refuses before it goes: one connection that fails sets the address aside.
    """
    gone = {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "max_ejection_percent": 100,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "5s",
    }
    jaeger = _cluster("jaeger", "STRICT_DNS", {"socket_address": {"address": "jaeger", "port_value": OTLP_PORT}})
    nobody = _cluster("discard", "STATIC", {"socket_address": {"address": "127.0.0.1", "port_value": _DISCARDED}})
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
    # Nobody waits for a name that may never be there.
    return [
        {
            **_by_name(jaeger, "5s"),
            "wait_for_warm_on_init": False,
            "outlier_detection": gone,
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        },
        nobody,
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
    FILE.write_text(rendered())
    sys.stdout.write(f"{FILE.relative_to(ROOT)} is written\n")
