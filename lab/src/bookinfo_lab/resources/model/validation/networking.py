"""The checks of a networking object. Istio: pkg/config/validation/validation.go."""

from collections.abc import Iterable, Iterator

from bookinfo_lab.errors import listed, manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model.base import Spec
from bookinfo_lab.resources.model.networking import (
    ClientTLS,
    ConnectionPool,
    ConsistentHash,
    CorsPolicy,
    Delay,
    DestinationRuleSpec,
    GatewaySpec,
    Headers,
    HTTPFault,
    HTTPMatch,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    LoadBalancer,
    OutlierDetection,
    PortTrafficPolicy,
    ServiceEntrySpec,
    SidecarSpec,
    TCPKeepalive,
    TrafficPolicy,
    VirtualServiceSpec,
)
from bookinfo_lab.resources.model.validation import values
from bookinfo_lab.resources.model.validation.values import Problem

LARGEST_RING = 8 * 1024 * 1024
"""Envoy's limit: RingHashLbConfig.minimum_ring_size in envoy/config/cluster/v3/cluster.proto."""

LARGEST_TABLE = 5_000_011
"""Envoy's limit: MaglevLbConfig.table_size in the same file."""

LARGEST_TOTAL_WEIGHT = 2**32 - 1
"""Envoy's limit: WeightedCluster in envoy/config/route/v3/route_components.proto."""

AUTHORITY = ("host", ":authority")
"""The header names that mean the host of a request."""

_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")

REDIRECT_CODES = (301, 302, 303, 307, 308)
RETRY_CONDITIONS = frozenset(
    (
        *("5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited"),
        *(
            "retriable-4xx",
            "refused-stream",
            "retriable-status-codes",
            "retriable-headers",
            "http3-post-connect-failure",
        ),
        *("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"),
    )
)


def gateway(spec: GatewaySpec) -> Iterator[Problem]:
    """A Gateway."""
    yield from values.not_empty(spec.servers, ("servers",))
    for index, server in enumerate(spec.servers):
        path: FieldPath = ("servers", index)
        yield from values.port(server.port.number, (*path, "port", "number"))
        if server.port.protocol.upper() not in ("HTTP", "HTTP2", "HTTPS"):
            yield Problem(
                manifest_errors.unsupported_protocol(server.port.protocol, ["HTTP", "HTTPS"]),
                (*path, "port", "protocol"),
            )
        yield from values.https_has_tls(server.port.protocol.upper(), server.tls, (*path, "tls"))
        yield from values.not_empty(server.hosts, (*path, "hosts"))
        for number, host in enumerate(server.hosts):
            yield from _scoped_host(host, (*path, "hosts", number))


def _scoped_host(text: str, path: FieldPath) -> Iterator[Problem]:
    """`host` or `namespace/host`, without short names. Istio: ValidateNamespaceSlashWildcardHostname."""
    scope, separator, host = text.rpartition("/")
    yield from values.host(host, path)
    if host != "*" and "." not in host:
        yield Problem(manifest_errors.short_host(host), path)
    if separator and scope not in ("*", ".", "~"):
        for problem in values.label(scope, path):
            yield Problem(manifest_errors.invalid_scope(scope), problem.path)


# VirtualService


def virtual_service(spec: VirtualServiceSpec) -> Iterator[Problem]:
    """A VirtualService."""
    yield from values.not_empty(spec.hosts, ("hosts",))
    for index, host in enumerate(spec.hosts):
        yield from values.host(host, ("hosts", index))
        if host == "*" and "mesh" in spec.gateways:
            yield Problem(manifest_errors.wildcard_host_in_mesh(), ("hosts", index))
        for other in spec.hosts[:index]:
            if _overlap(host, other):
                yield Problem(manifest_errors.overlapping_hosts(host, other), ("hosts", index))
    yield from values.not_empty(spec.http, ("http",))
    for index, http in enumerate(spec.http):
        yield from _http_route(http, ("http", index))


def _overlap(one: str, other: str) -> bool:
    """Istio: host.Name.Matches, pkg/config/host/name.go."""
    wide, narrow = sorted((one, other), key=lambda host: (len(host), not host.startswith("*")))
    return one == other or (wide.startswith("*") and narrow.endswith(wide[1:]))


def _http_route(http: HTTPRoute, path: FieldPath) -> Iterator[Problem]:
    actions = [
        name
        for name, value in (
            ("route", http.route),
            ("redirect", http.redirect),
            ("directResponse", http.direct_response),
        )
        if value
    ]
    if len(actions) != 1:
        yield Problem(manifest_errors.exactly_one_of(["route", "redirect", "directResponse"], actions), path)
    yield from _direct_action(http, path)
    yield from _header_changes(http.headers, (*path, "headers"))
    for index, match in enumerate(http.match):
        yield from _http_match(match, (*path, "match", index))
    yield from _weights(http, path)
    for index, destination in enumerate(http.route):
        yield from values.destination_port(destination.destination.port, (*path, "route", index, "destination", "port"))
        yield from _header_changes(destination.headers, (*path, "route", index, "headers"))
    yield from _redirect(http.redirect, (*path, "redirect"))
    if http.direct_response is not None:
        yield from values.within(http.direct_response.status, 200, 599, (*path, "directResponse", "status"))
    yield from _rewrite(http.rewrite, (*path, "rewrite"))
    yield from values.positive_duration(http.timeout, (*path, "timeout"))
    yield from _retries(http.retries, (*path, "retries"))
    yield from _fault(http.fault, (*path, "fault"))
    if http.mirror is not None and http.mirrors:
        yield Problem(manifest_errors.mutually_exclusive(["mirror", "mirrors"]), path)
    yield from values.percentage(http.mirror_percentage, (*path, "mirrorPercentage"))
    for index, mirror in enumerate(http.mirrors):
        yield from values.percentage(mirror.percentage, (*path, "mirrors", index, "percentage"))
    yield from _cors(http.cors_policy, (*path, "corsPolicy"))


def _direct_action(http: HTTPRoute, path: FieldPath) -> Iterator[Problem]:
    """A response of the proxy itself, which excludes a rewrite and a fault."""
    action = "redirect" if http.redirect is not None else "directResponse" if http.direct_response is not None else ""
    for name, value in (("rewrite", http.rewrite), ("fault", http.fault)):
        if action and value is not None:
            yield Problem(manifest_errors.mutually_exclusive([action, name]), (*path, name))


def _http_match(match: HTTPMatch, path: FieldPath) -> Iterator[Problem]:
    if match.port is not None:
        yield from values.port(match.port, (*path, "port"))
    for field, matches in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name in matches:
            if name.startswith("@request.auth"):
                yield Problem(manifest_errors.claim_routing(), (*path, field, name))
            yield from values.header_name(name, (*path, field, name))


def _header_changes(headers: Headers, path: FieldPath) -> Iterator[Problem]:
    for side, operations in (("request", headers.request), ("response", headers.response)):
        for field, names in (("set", operations.set), ("add", operations.add), ("remove", operations.remove)):
            for name in names:
                yield from values.header_name(name, (*path, side, field))
                host = name.lower() in AUTHORITY
                if (host or name.startswith(":")) and not (host and side == "request" and field != "remove"):
                    fix = "set host on the request to change the host, or use rewrite to change the path"
                    yield Problem(manifest_errors.unmodifiable_header(name, fix), (*path, side, field))


def _weights(http: HTTPRoute, path: FieldPath) -> Iterator[Problem]:
    for index, destination in enumerate(http.route):
        if destination.weight < 0:
            yield Problem(manifest_errors.out_of_range(destination.weight, 0), (*path, "route", index, "weight"))
    total = sum(destination.weight for destination in http.route)
    if total > LARGEST_TOTAL_WEIGHT:
        yield Problem(manifest_errors.total_weight_too_large(total, LARGEST_TOTAL_WEIGHT), (*path, "route"))
    if len(http.route) > 1 and not any(destination.weight for destination in http.route):
        yield Problem(manifest_errors.all_weights_zero(), (*path, "route"))


def _redirect(redirect: HTTPRedirect | None, path: FieldPath) -> Iterator[Problem]:
    if redirect is None:
        return
    if not (redirect.uri or redirect.authority or redirect.scheme or redirect.port or redirect.derive_port):
        yield Problem(manifest_errors.redirect_without_target(), path)
    if redirect.scheme not in (None, "", "http", "https"):
        yield Problem(manifest_errors.invalid_value(redirect.scheme, "use http or https"), (*path, "scheme"))
    if redirect.port:
        yield from values.port(redirect.port, (*path, "port"))
    if redirect.redirect_code not in REDIRECT_CODES:
        fix = f"use {listed([str(code) for code in REDIRECT_CODES])}"
        yield Problem(manifest_errors.invalid_value(redirect.redirect_code, fix), (*path, "redirectCode"))


def _rewrite(rewrite: HTTPRewrite | None, path: FieldPath) -> Iterator[Problem]:
    if rewrite is None:
        return
    if rewrite.uri is not None and rewrite.uri_regex_rewrite is not None:
        yield Problem(manifest_errors.mutually_exclusive(["uri", "uriRegexRewrite"]), path)


def _retries(retries: HTTPRetry | None, path: FieldPath) -> Iterator[Problem]:
    if retries is None:
        return
    if retries.attempts < 0:
        yield Problem(manifest_errors.out_of_range(retries.attempts, 0), (*path, "attempts"))
    yield from values.positive_duration(retries.per_try_timeout, (*path, "perTryTimeout"))
    yield from values.positive_duration(retries.backoff, (*path, "backoff"))
    for condition in retry_conditions(retries.retry_on):
        if condition not in RETRY_CONDITIONS and not (condition.isdigit() and 100 <= int(condition) <= 599):
            fix = f"use a status from 100 to 599, or one of {', '.join(sorted(RETRY_CONDITIONS))}"
            yield Problem(manifest_errors.invalid_value(condition, fix), (*path, "retryOn"))


def retry_conditions(retry_on: str) -> list[str]:
    """Return the parts of a `retryOn`: conditions, and status codes as strings."""
    return [part.strip() for part in retry_on.split(",") if part.strip()]


def _fault(fault: HTTPFault | None, path: FieldPath) -> Iterator[Problem]:
    if fault is None:
        return
    if fault.delay is None and fault.abort is None:
        yield Problem(manifest_errors.at_least_one_of(["delay", "abort"]), path)
    if fault.delay is not None:
        yield from _delay(fault.delay, (*path, "delay"))
    if fault.abort is not None:
        yield from values.percentage(fault.abort.percentage, (*path, "abort", "percentage"))
        if fault.abort.http_status is None:
            yield Problem(manifest_errors.missing_field("httpStatus"), (*path, "abort"))
        else:
            yield from values.within(fault.abort.http_status, 200, 599, (*path, "abort", "httpStatus"))


def _delay(delay: Delay, path: FieldPath) -> Iterator[Problem]:
    if delay.fixed_delay is None:
        yield Problem(manifest_errors.missing_field("fixedDelay"), path)
    yield from values.positive_duration(delay.fixed_delay, (*path, "fixedDelay"))
    yield from values.percentage(delay.percentage, (*path, "percentage"))
    if delay.percent is not None:
        yield from values.within(delay.percent, 0, 100, (*path, "percent"))


def _cors(cors: CorsPolicy | None, path: FieldPath) -> Iterator[Problem]:
    if cors is not None:
        for index, method in enumerate(cors.allow_methods):
            if method not in (*_METHODS, "*"):
                fix = f"use {listed([*_METHODS, '*'])}"
                yield Problem(manifest_errors.invalid_value(method, fix), (*path, "allowMethods", index))
        for field, names in (("allowHeaders", cors.allow_headers), ("exposeHeaders", cors.expose_headers)):
            for index, name in enumerate(names):
                yield from values.header_name(name, (*path, field, index))


# DestinationRule


def destination_rule(spec: DestinationRuleSpec) -> Iterator[Problem]:
    """A DestinationRule."""
    yield from values.host(spec.host, ("host",))
    if spec.workload_selector is None and _names_credentials(spec):
        yield Problem(manifest_errors.credential_without_selector(), ("trafficPolicy",))
    yield from _traffic_policy(spec.traffic_policy, ("trafficPolicy",))
    names = [subset.name for subset in spec.subsets]
    for index, subset in enumerate(spec.subsets):
        yield from values.label(subset.name, ("subsets", index, "name"))
        if subset.name in names[:index]:
            yield Problem(manifest_errors.duplicate_name("subset", subset.name), ("subsets", index, "name"))
        yield from _traffic_policy(subset.traffic_policy, ("subsets", index, "trafficPolicy"))


def _names_credentials(spec: DestinationRuleSpec) -> bool:
    policies = [policy for policy in (spec.traffic_policy, *(item.traffic_policy for item in spec.subsets)) if policy]
    settings = [policy.tls for policy in policies]
    settings += [port.tls for policy in policies for port in policy.port_level_settings]
    return any(tls is not None and tls.credential_name for tls in settings)


def _traffic_policy(policy: TrafficPolicy | None, path: FieldPath) -> Iterator[Problem]:
    if policy is None:
        return
    yield from _policy_blocks(policy, path)
    for index, port in enumerate(policy.port_level_settings):
        port_path = (*path, "portLevelSettings", index)
        yield from values.port(port.port.number, (*port_path, "port", "number"))
        yield from _policy_blocks(port, port_path)


def _policy_blocks(policy: TrafficPolicy | PortTrafficPolicy, path: FieldPath) -> Iterator[Problem]:
    yield from _load_balancer(policy.load_balancer, (*path, "loadBalancer"))
    yield from _connection_pool(policy.connection_pool, (*path, "connectionPool"))
    yield from _outlier_detection(policy.outlier_detection, (*path, "outlierDetection"))
    yield from _client_tls(policy.tls, (*path, "tls"))


def _load_balancer(balancer: LoadBalancer | None, path: FieldPath) -> Iterator[Problem]:
    if balancer is None or balancer.consistent_hash is None:
        return
    hashed = balancer.consistent_hash
    path = (*path, "consistentHash")
    keys = {
        "httpHeaderName": hashed.http_header_name,
        "httpCookie": hashed.http_cookie,
        "useSourceIp": hashed.use_source_ip,
        "httpQueryParameterName": hashed.http_query_parameter_name,
    }
    present = [name for name, key in keys.items() if key is not None]
    if len(present) != 1:
        yield Problem(manifest_errors.exactly_one_of(list(keys), present), path)
    if hashed.http_header_name is not None:
        yield from values.header_name(hashed.http_header_name, (*path, "httpHeaderName"))
    yield from _ring(hashed, path)


def _ring(hashed: ConsistentHash, path: FieldPath) -> Iterator[Problem]:
    if hashed.ring_hash is not None and hashed.maglev is not None:
        yield Problem(manifest_errors.mutually_exclusive(["ringHash", "maglev"]), path)
    if hashed.minimum_ring_size is not None:
        yield from values.within(hashed.minimum_ring_size, 0, LARGEST_RING, (*path, "minimumRingSize"))
    if hashed.ring_hash is not None:
        size_path = (*path, "ringHash", "minimumRingSize")
        yield from values.within(hashed.ring_hash.minimum_ring_size, 0, LARGEST_RING, size_path)
    if hashed.maglev is not None and hashed.maglev.table_size is not None:
        yield from values.within(hashed.maglev.table_size, 0, LARGEST_TABLE, (*path, "maglev", "tableSize"))


def _connection_pool(pool: ConnectionPool | None, path: FieldPath) -> Iterator[Problem]:
    if pool is None:
        return
    yield from _counts(pool.tcp, ("max_connections",), (*path, "tcp"))
    limits = ("http1_max_pending_requests", "http2_max_requests", "max_requests_per_connection", "max_retries")
    yield from _counts(pool.http, limits, (*path, "http"))
    yield from values.positive_duration(pool.tcp.connect_timeout, (*path, "tcp", "connectTimeout"))
    yield from _keepalive(pool.tcp.tcp_keepalive, (*path, "tcp", "tcpKeepalive"))


def _keepalive(keepalive: TCPKeepalive | None, path: FieldPath) -> Iterator[Problem]:
    if keepalive is None:
        return
    yield from _counts(keepalive, ("probes",), path)
    for field, seconds in (("time", keepalive.time), ("interval", keepalive.interval)):
        if seconds is not None and (seconds < 1 or seconds % 1):
            yield Problem(manifest_errors.not_whole_seconds(), (*path, field))


def _counts(spec: Spec, fields: Iterable[str], path: FieldPath) -> Iterator[Problem]:
    for field in fields:
        value = getattr(spec, field)
        if value is not None and value < 0:
            alias = type(spec).model_fields[field].alias or field
            yield Problem(manifest_errors.out_of_range(value, 0), (*path, alias))


def _outlier_detection(outlier: OutlierDetection | None, path: FieldPath) -> Iterator[Problem]:
    if outlier is None:
        return
    errors = ("consecutive5xx_errors", "consecutive_gateway_errors", "consecutive_local_origin_failures")
    yield from _counts(outlier, errors, path)
    yield from values.positive_duration(outlier.interval, (*path, "interval"))
    yield from values.positive_duration(outlier.base_ejection_time, (*path, "baseEjectionTime"))
    if outlier.max_ejection_percent is not None:
        yield from values.within(outlier.max_ejection_percent, 0, 100, (*path, "maxEjectionPercent"))
    yield from values.within(outlier.min_health_percent, 0, 100, (*path, "minHealthPercent"))


def _client_tls(tls: ClientTLS | None, path: FieldPath) -> Iterator[Problem]:
    if tls is None:
        return
    files = tls.client_certificate or tls.private_key or tls.ca_certificates
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name:
        if files:
            yield Problem(manifest_errors.mutually_exclusive(["credentialName", "certificate files"]), path)
    elif tls.mode == "MUTUAL" and not (tls.client_certificate and tls.private_key):
        yield Problem(manifest_errors.incomplete_mutual_tls(), path)
    if tls.mode == "ISTIO_MUTUAL" and files:
        yield Problem(manifest_errors.certificates_with_istio_mutual(), path)


# ServiceEntry and Sidecar


def service_entry(spec: ServiceEntrySpec) -> Iterator[Problem]:
    """A ServiceEntry."""
    yield from values.not_empty(spec.hosts, ("hosts",))
    for index, host in enumerate(spec.hosts):
        yield from values.host(host, ("hosts", index))
        if host.startswith("*"):
            yield Problem(manifest_errors.unsupported_wildcard(host), ("hosts", index))
    yield from values.not_empty(spec.ports, ("ports",))
    for index, port in enumerate(spec.ports):
        yield from values.port(port.number, ("ports", index, "number"))
        if port.number in [other.number for other in spec.ports[:index]]:
            yield Problem(manifest_errors.duplicate_port(port.number), ("ports", index, "number"))
        if port.protocol.upper() not in ("HTTP", "HTTP2", "HTTPS", "TLS", "TCP"):
            supported = ["HTTP", "HTTPS", "TLS", "TCP"]
            yield Problem(manifest_errors.unsupported_protocol(port.protocol, supported), ("ports", index, "protocol"))
    if spec.resolution == "STATIC":
        yield from values.not_empty(spec.endpoints, ("endpoints",))
    if spec.resolution == "NONE" and spec.endpoints:
        yield Problem(manifest_errors.endpoints_without_resolution(), ("resolution",))
    for index, endpoint in enumerate(spec.endpoints):
        if not endpoint.address:
            yield Problem(manifest_errors.missing_field("address"), ("endpoints", index))


def sidecar(spec: SidecarSpec) -> Iterator[Problem]:
    """A Sidecar."""
    for index, listener in enumerate(spec.egress):
        for number, host in enumerate(listener.hosts):
            path: FieldPath = ("egress", index, "hosts", number)
            if "/" not in host:
                yield Problem(manifest_errors.missing_scope(host), path)
            yield from _scoped_host(host, path)
