"""Clusters: the upstreams that a proxy can call, with their endpoints.

Istio: pilot/pkg/networking/core/cluster.go, cluster_builder.go.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.networking import ConnectionPool
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate.cluster_policy import (
    CONNECT_TIMEOUT_SECONDS,
    circuit_breakers,
    connect_timeout,
    http_options,
    load_balancing,
    outlier_detection,
    tcp_keepalive,
)
from bookinfo_lab.translate.names import PASSTHROUGH_CLUSTER, cluster_name, inbound_cluster_name
from bookinfo_lab.translate.registry import Endpoint, Host
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.traffic_policy import EffectivePolicy, destination_rule, effective_policy
from bookinfo_lab.translate.upstream_tls import MUTUAL_TLS_METADATA, TRANSPORT_SOCKET_MATCH, UpstreamTLS
from bookinfo_lab.translate.xds import Json

METRICS_CLUSTER = "metrics"
"""A sidecar's cluster for requests that scrape the metrics of its application."""

DNS_CACHE: Json = {"name": "passthrough", "dns_lookup_family": "V4_PREFERRED"}
"""The DNS cache that the passthrough cluster shares with the filter that resolves hosts for it."""


@dataclass(frozen=True)
class _OutboundCluster:
    """One subset of a host's port, as one proxy calls it."""

    name: str
    proxy: Proxy
    endpoints: tuple[Endpoint, ...]
    policy: EffectivePolicy
    tls: UpstreamTLS


def outbound_clusters(mesh: MeshSnapshot, proxy: Proxy, hosts: Iterable[Host]) -> Iterator[Json]:
    """Yield each cluster that `proxy` can call, with its endpoints.

    Istio sends endpoints by EDS. In the file system each EDS subscription uses one of the user's inotify instances. The
    default limit of Linux is 128, and an Envoy that gets none aborts: a few Envoys with several subsets per host would
    exceed the limit.
    """
    for host in hosts:
        rule = destination_rule(mesh, proxy, host)
        subsets = {subset.name: subset.labels for subset in rule.spec.subsets} if rule else {}
        for port in host.ports:
            for subset, labels in {"": {}, **subsets}.items():
                policy = effective_policy(rule, port.number, subset)
                yield _outbound_cluster(
                    _OutboundCluster(
                        name=cluster_name(port.number, subset, host.name),
                        proxy=proxy,
                        endpoints=tuple(
                            endpoint
                            for endpoint in host.endpoints[port.number]
                            if labels.items() <= endpoint.labels.items()
                        ),
                        policy=policy,
                        tls=UpstreamTLS(mesh, proxy, host, port.number, subset, rule, policy.tls),
                    )
                )


def _outbound_cluster(cluster: _OutboundCluster) -> Json:
    pool = cluster.policy.connection_pool or ConnectionPool()
    config: Json = {
        "name": cluster.name,
        "type": "STATIC",
        **connect_timeout(pool),
        **circuit_breakers(pool),
        **load_balancing(cluster.policy.load_balancer),
        **outlier_detection(cluster.policy.outlier_detection),
        **tcp_keepalive(pool.tcp.tcp_keepalive),
        **cluster.tls.transport_socket(),
        **http_options(pool, auto_sni=cluster.tls.needs_auto_sni),
    }
    addresses = [endpoint.ip for endpoint in cluster.endpoints]
    if all(address is not None and address.is_loopback for address in addresses):
        # The upstream identifies the caller by this source address. It is a loopback address, so a connection from it
        # cannot leave this machine.
        config["upstream_bind_config"] = {"source_address": {"address": cluster.proxy.address, "port_value": 0}}
    if None in addresses:
        config |= {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED", "respect_dns_ttl": True}
    endpoints = [{"lb_endpoints": [_lb_endpoint(endpoint) for endpoint in cluster.endpoints]}]
    return {**config, "load_assignment": {"cluster_name": cluster.name, "endpoints": endpoints}}


def _lb_endpoint(endpoint: Endpoint) -> Json:
    config: Json = {
        "endpoint": {"address": {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}}
    }
    if endpoint.accepts_mutual_tls:
        config["metadata"] = {"filter_metadata": {TRANSPORT_SOCKET_MATCH: MUTUAL_TLS_METADATA}}
    return config


def application_cluster(port: int) -> Json:
    """Return a sidecar's cluster for its own application."""
    return _unix_socket_cluster(inbound_cluster_name(port))


def metrics_cluster() -> Json:
    """Return a second cluster for the same application: scrapes must not count as requests of the application."""
    return _unix_socket_cluster(METRICS_CLUSTER)


def _unix_socket_cluster(name: str) -> Json:
    address = {"pipe": {"path": str(proxy_directory.APP_SOCKET)}}
    return {
        "name": name,
        "type": "STATIC",
        **connect_timeout(ConnectionPool()),
        **circuit_breakers(ConnectionPool()),
        **http_options(ConnectionPool()),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def passthrough_cluster() -> Json:
    """Return the cluster for hosts outside the registry. Envoy resolves the host of each request."""
    cluster_type = "envoy.clusters.dynamic_forward_proxy"
    config = "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
    return {
        "name": PASSTHROUGH_CLUSTER,
        "connect_timeout": duration(CONNECT_TIMEOUT_SECONDS),
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": cluster_type, "typed_config": {"@type": config, "dns_cache_config": DNS_CACHE}},
        **circuit_breakers(ConnectionPool()),
    }
