"""Clusters: what a proxy can call, and how it holds its connections.

Istio: pilot/pkg/networking/core/cluster.go, cluster_builder.go, cluster_traffic_policy.go, cluster_tls.go.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.networking import (
    ClientTLS,
    ConnectionPool,
    ConsistentHash,
    DestinationRuleSpec,
    LoadBalancer,
    OutlierDetection,
    TCPKeepalive,
)
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate import tls
from bookinfo_lab.translate.mesh import Endpoint, Host, Mesh, Port
from bookinfo_lab.translate.names import cluster_name, inbound_cluster_name
from bookinfo_lab.translate.traffic_policy import Policy, destination_rule, policy

Json = dict[str, Any]

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

PASSTHROUGH = "PassthroughCluster"
"""Where requests for unknown hosts go under ALLOW_ANY: wherever DNS says."""

METRICS = "metrics"
"""The application, for a scraper."""

DNS_CACHE: Json = {"name": "passthrough", "dns_lookup_family": "V4_PREFERRED"}
"""Shared by the passthrough cluster and the filter that resolves for it."""

_UNLIMITED = 4294967295
_CONNECT_TIMEOUT = 10.0
_TRANSPORT_MATCH = "envoy.transport_socket_match"

# A server that gives up an idle connection just as a request goes out on it loses that request. The services keep
# theirs for 75 s, so every proxy gives its own up first.
_IDLE_TIMEOUT = 60.0


@dataclass(frozen=True)
class _Target:
    """One cluster to be: the port and subset of a host, as one proxy calls it."""

    mesh: Mesh
    proxy: Proxy
    host: Host
    port: Port
    subset: str
    endpoints: tuple[Endpoint, ...]
    rule: Rule[DestinationRuleSpec] | None
    policy: Policy

    @property
    def name(self) -> str:
        return cluster_name(self.port.number, self.subset, self.host.name)


def outbound(mesh: Mesh, proxy: Proxy, hosts: Iterable[Host]) -> Iterator[Json]:
    """Each cluster that `proxy` can call, its endpoints included.

    Istio sends endpoints by EDS. Over the file system each EDS subscription costs one of the user's inotify instances,
    of which Linux grants 128, and an Envoy that gets none aborts: a handful of Envoys with all of Bookinfo's subsets
    would use them up.
    """
    for host in hosts:
        rule = destination_rule(mesh, proxy, host)
        for port in host.ports:
            endpoints = host.endpoints[port.number]
            subsets = rule.spec.subsets if rule else ()
            selected = {
                subset.name: tuple(
                    endpoint for endpoint in endpoints if subset.labels.items() <= endpoint.labels.items()
                )
                for subset in subsets
            }
            for subset, instances in {"": endpoints, **selected}.items():
                held = policy(rule, port.number, subset)
                yield _cluster(_Target(mesh, proxy, host, port, subset, instances, rule, held))


def inbound(port: int) -> Json:
    """The application behind its own sidecar."""
    return _application(inbound_cluster_name(port))


def metrics() -> Json:
    """The same for whoever collects its metrics, so that their requests are not among the application's."""
    return _application(METRICS)


def _application(name: str) -> Json:
    address = {"pipe": {"path": str(proxy_directory.APP_SOCKET)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": duration(_CONNECT_TIMEOUT),
        "circuit_breakers": _circuit_breakers(ConnectionPool()),
        "typed_extension_protocol_options": _http_options(ConnectionPool()),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def passthrough() -> Json:
    """Any host outside the registry, by its name."""
    kind = "envoy.clusters.dynamic_forward_proxy"
    config = "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
    return {
        "name": PASSTHROUGH,
        "connect_timeout": duration(_CONNECT_TIMEOUT),
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": kind, "typed_config": {"@type": config, "dns_cache_config": DNS_CACHE}},
        "circuit_breakers": _circuit_breakers(ConnectionPool()),
    }


def hash_policy(hashed: ConsistentHash) -> Json:
    """What of a request a consistent hash is taken of: the route's half of it."""
    if hashed.http_header_name is not None:
        return {"header": {"header_name": hashed.http_header_name}}
    if hashed.http_query_parameter_name is not None:
        return {"query_parameter": {"name": hashed.http_query_parameter_name}}
    cookie = hashed.http_cookie
    if cookie is not None:
        optional = {"path": cookie.path, "ttl": duration(cookie.ttl) if cookie.ttl is not None else None}
        return {"cookie": {"name": cookie.name, **{key: value for key, value in optional.items() if value is not None}}}
    return {"connection_properties": {"source_ip": bool(hashed.use_source_ip)}}


def _cluster(target: _Target) -> Json:
    pool = target.policy.connection_pool or ConnectionPool()
    rendered: Json = {
        "name": target.name,
        "connect_timeout": duration(pool.tcp.connect_timeout or _CONNECT_TIMEOUT),
        "circuit_breakers": _circuit_breakers(pool),
        **_load_balancing(target.policy.load_balancer),
        **_outlier_detection(target.policy.outlier_detection),
        **_keepalive(pool.tcp.tcp_keepalive),
        **_transport(target),
        "typed_extension_protocol_options": _http_options(pool, auto_sni=_needs_auto_sni(target.policy.tls)),
    }
    addresses = [endpoint.ip for endpoint in target.endpoints]
    if all(address is not None and address.is_loopback for address in addresses):
        # The called side knows its caller by this address. It cannot reach beyond this machine.
        rendered["upstream_bind_config"] = {"source_address": {"address": target.proxy.address, "port_value": 0}}
    if None in addresses:
        rendered |= {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED", "respect_dns_ttl": True}
    endpoints = [{"lb_endpoints": [_endpoint(endpoint) for endpoint in target.endpoints]}]
    return {"type": "STATIC", **rendered, "load_assignment": {"cluster_name": target.name, "endpoints": endpoints}}


def _endpoint(endpoint: Endpoint) -> Json:
    rendered: Json = {
        "endpoint": {"address": {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}}
    }
    if endpoint.mutual_tls:
        rendered["metadata"] = {"filter_metadata": {_TRANSPORT_MATCH: {"tlsMode": "istio"}}}
    return rendered


def _circuit_breakers(pool: ConnectionPool) -> Json:
    """No limit unless asked for: Envoy's own default of 1024 would be a circuit breaker that nobody wrote."""
    limits = {
        "max_connections": pool.tcp.max_connections,
        "max_pending_requests": pool.http.http1_max_pending_requests,
        "max_requests": pool.http.http2_max_requests,
        "max_retries": pool.http.max_retries,
    }
    # Zero is "not set" in Istio's API.
    thresholds = {name: limit or _UNLIMITED for name, limit in limits.items()}
    return {"thresholds": [{**thresholds, "track_remaining": True}]}


def _keepalive(keepalive: TCPKeepalive | None) -> Json:
    """Istio: applyTCPKeepalive. What is left out is the operating system's default."""
    if keepalive is None:
        return {}
    given = {
        "keepalive_probes": keepalive.probes,
        "keepalive_time": int(keepalive.time or 0),
        "keepalive_interval": int(keepalive.interval or 0),
    }
    options = {name: value for name, value in given.items() if value}
    return {"upstream_connection_options": {"tcp_keepalive": options}}


def _http_options(pool: ConnectionPool, *, auto_sni: bool = False) -> Json:
    common: Json = {"idle_timeout": duration(pool.http.idle_timeout or _IDLE_TIMEOUT)}
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
    return {HTTP_OPTIONS: options}


def _load_balancing(balancer: LoadBalancer | None) -> Json:
    """Istio: applyLoadBalancer. LEAST_REQUEST is its default, and what LEAST_CONN has become."""
    if balancer is not None and balancer.consistent_hash is not None:
        return _hashing(balancer.consistent_hash)
    simple = balancer.simple if balancer else None
    return {"lb_policy": simple if simple in ("RANDOM", "ROUND_ROBIN") else "LEAST_REQUEST"}


def _hashing(hashed: ConsistentHash) -> Json:
    if hashed.maglev is not None:
        size = hashed.maglev.table_size
        return {"lb_policy": "MAGLEV", **({"maglev_lb_config": {"table_size": size}} if size else {})}
    ring = hashed.ring_hash.minimum_ring_size if hashed.ring_hash else hashed.minimum_ring_size or 1024
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": ring}}


def _outlier_detection(outlier: OutlierDetection | None) -> Json:
    """Istio: applyOutlierDetection. A count of 0 switches it off; one that is absent is Envoy's own default."""
    if outlier is None:
        # With no instance healthy a request fails; Envoy would pick any of them (its own default is 50 %).
        return {"common_lb_config": {"healthy_panic_threshold": {}}}
    detection: Json = {"enforcing_success_rate": 0}
    local = outlier.consecutive_local_origin_failures or None  # with these 0 is the same as absent
    for name, count in (
        ("consecutive_5xx", outlier.consecutive5xx_errors),
        ("consecutive_gateway_failure", outlier.consecutive_gateway_errors),
        ("consecutive_local_origin_failure", local),
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


def _transport(target: _Target) -> Json:
    """Istio: ClusterBuilder.applyUpstreamTLSSettings. Without a setting, mutual TLS to whoever has a sidecar."""
    settings = target.policy.tls
    sni = f"outbound_.{target.port.number}_.{target.subset}_.{target.host.name}"
    if settings is None:
        return {} if target.host.external else _automatic(tls.mutual_upstream(sni, target.host.identities))
    match settings.mode:
        case "DISABLE":
            return {}
        case "ISTIO_MUTUAL":
            names = settings.subject_alt_names or target.host.identities
            return {"transport_socket": tls.mutual_upstream(settings.sni or sni, names)}
        case _:
            return {"transport_socket": _originated(target, settings)}


def _automatic(mutual: Json) -> Json:
    return {
        "transport_socket_matches": [
            {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": mutual},
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": tls.plaintext()},
        ]
    }


def _needs_auto_sni(settings: ClientTLS | None) -> bool:
    return settings is not None and settings.mode in ("SIMPLE", "MUTUAL") and settings.sni is None


def _originated(target: _Target, settings: ClientTLS) -> Json:
    authority = {"filename": settings.ca_certificates} if settings.ca_certificates else None
    certificate: tuple[Json, Json] | None = None
    if settings.client_certificate and settings.private_key:
        certificate = {"filename": settings.client_certificate}, {"filename": settings.private_key}
    if settings.credential_name:
        secret = _secret(target, settings.credential_name)
        authority = _inline(target, settings.credential_name, secret, ("ca.crt", "cacert"))
        if settings.mode == "MUTUAL":
            certificate = (
                _inline(target, settings.credential_name, secret, ("tls.crt", "cert")),
                _inline(target, settings.credential_name, secret, ("tls.key", "key")),
            )
    return tls.originated(
        settings.sni, settings.subject_alt_names, authority, certificate, verify=not settings.insecure_skip_verify
    )


def _secret(target: _Target, name: str) -> Json:
    for secret in target.mesh.topology.secrets:
        if (secret.namespace, secret.name) == (target.proxy.namespace, name):
            return dict(secret.data)
    raise _rule_of(target).document.error(
        manifest_errors.object_not_found("Secret", name, target.proxy.namespace), ("spec",)
    )


def _inline(target: _Target, name: str, data: Json, keys: Sequence[str]) -> Json:
    for key in keys:
        if key in data:
            return {"inline_string": data[key]}
    raise _rule_of(target).document.error(manifest_errors.key_not_found(name, keys), ("spec",))


def _rule_of(target: _Target) -> Rule[DestinationRuleSpec]:
    if target.rule is None:
        raise TypeError("a TLS setting comes from a rule")
    return target.rule
