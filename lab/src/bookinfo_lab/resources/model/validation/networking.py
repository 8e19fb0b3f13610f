"""What types cannot say about a networking object. Istio: pkg/config/validation/validation.go."""

from collections.abc import Iterable, Iterator

from bookinfo_lab.resources.documents import Path
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
"""Envoy's bound: RingHashLbConfig.minimum_ring_size in envoy/config/cluster/v3/cluster.proto."""

LARGEST_TABLE = 5_000_011
"""Envoy's bound: MaglevLbConfig.table_size, ibid."""

LARGEST_TOTAL_WEIGHT = 2**32 - 1
"""Envoy's bound: WeightedCluster in envoy/config/route/v3/route_components.proto."""

AUTHORITY = ("host", ":authority")
"""How a header is named that is a request's host."""

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
        path: Path = ("servers", index)
        yield from values.port(server.port.number, (*path, "port", "number"))
        if server.port.protocol.upper() not in ("HTTP", "HTTP2", "HTTPS"):
            yield Problem(
                f"the lab's gateway does not speak {server.port.protocol}",
                (*path, "port", "protocol"),
                "write HTTP or HTTPS, or use a cluster",
            )
        if (server.port.protocol.upper() == "HTTPS") != (server.tls is not None):
            yield Problem("HTTPS and tls go together", (*path, "tls"), "write both, or neither")
        yield from values.not_empty(server.hosts, (*path, "hosts"))
        for number, host in enumerate(server.hosts):
            yield from _scoped_host(host, (*path, "hosts", number))


def _scoped_host(text: str, path: Path) -> Iterator[Problem]:
    """`host` or `namespace/host`. Istio: ValidateNamespaceSlashWildcardHostname, which takes no short names."""
    scope, separator, host = text.rpartition("/")
    yield from values.host(host, path)
    if host != "*" and "." not in host:
        yield Problem(
            f"{host} is a short name, and stands for no Service here", path, f"write {host}.default.svc.cluster.local"
        )
    if separator and scope not in ("*", ".", "~"):
        for problem in values.label(scope, path):
            yield Problem(f"{scope[:80]!r} is not a namespace", problem.path, "write one, or * or .")


# VirtualService


def virtual_service(spec: VirtualServiceSpec) -> Iterator[Problem]:
    """A VirtualService."""
    yield from values.not_empty(spec.hosts, ("hosts",))
    for index, host in enumerate(spec.hosts):
        yield from values.host(host, ("hosts", index))
        if host == "*" and "mesh" in spec.gateways:
            yield Problem("a rule for the mesh cannot have the host *", ("hosts", index), "name the host, or a gateway")
        for other in spec.hosts[:index]:
            if _overlap(host, other):
                yield Problem(f"{host} and {other} have hosts in common", ("hosts", index), "keep one")
    yield from values.not_empty(spec.http, ("http",))
    for index, http in enumerate(spec.http):
        yield from _http_route(http, ("http", index))


def _overlap(one: str, other: str) -> bool:
    """Istio: host.Name.Matches, pkg/config/host/name.go."""
    wide, narrow = sorted((one, other), key=lambda host: (len(host), not host.startswith("*")))
    return one == other or (wide.startswith("*") and narrow.endswith(wide[1:]))


def _http_route(http: HTTPRoute, path: Path) -> Iterator[Problem]:
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
        found = " and ".join(actions) if actions else "nothing"
        yield Problem(
            f"a rule does one thing, and this has {found}", path, "keep one of route, redirect, directResponse"
        )
    yield from _answered(http, path)
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
        yield Problem("mirror and mirrors exclude each other", path, "put all into mirrors")
    yield from values.percentage(http.mirror_percentage, (*path, "mirrorPercentage"))
    for index, mirror in enumerate(http.mirrors):
        yield from values.percentage(mirror.percentage, (*path, "mirrors", index, "percentage"))
    yield from _cors(http.cors_policy, (*path, "corsPolicy"))


def _answered(http: HTTPRoute, path: Path) -> Iterator[Problem]:
    """What cannot be beside an answer of the proxy's own."""
    own = "redirect" if http.redirect is not None else "directResponse" if http.direct_response is not None else ""
    for name, value in (("rewrite", http.rewrite), ("fault", http.fault)):
        if own and value is not None:
            yield Problem(f"{own} and {name} exclude each other", (*path, name), "keep one")


def _http_match(match: HTTPMatch, path: Path) -> Iterator[Problem]:
    if match.port is not None:
        yield from values.port(match.port, (*path, "port"))
    for field, matches in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name in matches:
            if name.startswith("@request.auth"):
                yield Problem("the lab does not route by claims", (*path, field, name), "use an AuthorizationPolicy")
            yield from values.header_name(name, (*path, field, name))


def _header_changes(headers: Headers, path: Path) -> Iterator[Problem]:
    for side, operations in (("request", headers.request), ("response", headers.response)):
        for field, names in (("set", operations.set), ("add", operations.add), ("remove", operations.remove)):
            for name in names:
                yield from values.header_name(name, (*path, side, field))
                host = name.lower() in AUTHORITY
                if (host or name.startswith(":")) and not (host and side == "request" and field != "remove"):
                    yield Problem(
                        f"{name} cannot be changed as a header",
                        (*path, side, field),
                        "a request's host can be set; for its path there is rewrite",
                    )


def _weights(http: HTTPRoute, path: Path) -> Iterator[Problem]:
    for index, destination in enumerate(http.route):
        if destination.weight < 0:
            yield Problem("weight is negative", (*path, "route", index, "weight"), "write 0 or more")
    total = sum(destination.weight for destination in http.route)
    if total > LARGEST_TOTAL_WEIGHT:
        yield Problem(
            f"the weights add up to {total}, more than {LARGEST_TOTAL_WEIGHT}", (*path, "route"), "write smaller ones"
        )
    if len(http.route) > 1 and not any(destination.weight for destination in http.route):
        yield Problem("every weight is 0, so no request has a destination", (*path, "route"), "give one a weight")


def _redirect(redirect: HTTPRedirect | None, path: Path) -> Iterator[Problem]:
    if redirect is None:
        return
    if not (redirect.uri or redirect.authority or redirect.scheme or redirect.port or redirect.derive_port):
        yield Problem("redirect says not where to", path, "add uri, authority, scheme or port")
    if redirect.scheme not in (None, "", "http", "https"):
        yield Problem(f"scheme cannot be {redirect.scheme}", (*path, "scheme"), "it can be http, https")
    if redirect.port:
        yield from values.port(redirect.port, (*path, "port"))
    if redirect.redirect_code not in REDIRECT_CODES:
        codes = ", ".join(map(str, REDIRECT_CODES))
        yield Problem(f"redirectCode cannot be {redirect.redirect_code}", (*path, "redirectCode"), f"it can be {codes}")


def _rewrite(rewrite: HTTPRewrite | None, path: Path) -> Iterator[Problem]:
    if rewrite is None:
        return
    if rewrite.uri is not None and rewrite.uri_regex_rewrite is not None:
        yield Problem("uri and uriRegexRewrite exclude each other", path, "keep one")


def _retries(retries: HTTPRetry | None, path: Path) -> Iterator[Problem]:
    if retries is None:
        return
    if retries.attempts < 0:
        yield Problem("attempts is negative", (*path, "attempts"), "write 0 for no retry")
    yield from values.positive_duration(retries.per_try_timeout, (*path, "perTryTimeout"))
    yield from values.positive_duration(retries.backoff, (*path, "backoff"))
    for condition in retry_conditions(retries.retry_on):
        if condition not in RETRY_CONDITIONS and not (condition.isdigit() and 100 <= int(condition) <= 599):
            known = ", ".join(sorted(RETRY_CONDITIONS))
            yield Problem(
                f"{condition!r} is no reason to retry", (*path, "retryOn"), f"it can be a status code or one of {known}"
            )


def retry_conditions(retry_on: str) -> list[str]:
    """The parts of a `retryOn`: conditions, and status codes as text."""
    return [part.strip() for part in retry_on.split(",") if part.strip()]


def _fault(fault: HTTPFault | None, path: Path) -> Iterator[Problem]:
    if fault is None:
        return
    if fault.delay is None and fault.abort is None:
        yield Problem("fault has neither delay nor abort", path, "add one")
    if fault.delay is not None:
        yield from _delay(fault.delay, (*path, "delay"))
    if fault.abort is not None:
        yield from values.percentage(fault.abort.percentage, (*path, "abort", "percentage"))
        if fault.abort.http_status is None:
            yield Problem("abort has no httpStatus", (*path, "abort"), "add httpStatus")
        else:
            yield from values.within(fault.abort.http_status, 200, 599, (*path, "abort", "httpStatus"))


def _delay(delay: Delay, path: Path) -> Iterator[Problem]:
    if delay.fixed_delay is None:
        yield Problem("delay has no fixedDelay", path, "add fixedDelay, e.g. 7s")
    yield from values.positive_duration(delay.fixed_delay, (*path, "fixedDelay"))
    yield from values.percentage(delay.percentage, (*path, "percentage"))
    if delay.percent is not None:
        yield from values.within(delay.percent, 0, 100, (*path, "percent"))


def _cors(cors: CorsPolicy | None, path: Path) -> Iterator[Problem]:
    if cors is not None:
        for index, method in enumerate(cors.allow_methods):
            if method not in (*_METHODS, "*"):
                known = ", ".join(_METHODS)
                yield Problem(f"{method!r} is not a method", (*path, "allowMethods", index), f"it can be {known} or *")
        for field, names in (("allowHeaders", cors.allow_headers), ("exposeHeaders", cors.expose_headers)):
            for index, name in enumerate(names):
                yield from values.header_name(name, (*path, field, index))


# DestinationRule


def destination_rule(spec: DestinationRuleSpec) -> Iterator[Problem]:
    """A DestinationRule."""
    yield from values.host(spec.host, ("host",))
    if spec.workload_selector is None and _names_credentials(spec):
        yield Problem(
            "without a workloadSelector Istio's sidecars pass over credentialName",
            ("trafficPolicy",),
            "select the calling workloads by workloadSelector.matchLabels",
        )
    yield from _traffic_policy(spec.traffic_policy, ("trafficPolicy",))
    names = [subset.name for subset in spec.subsets]
    for index, subset in enumerate(spec.subsets):
        yield from values.label(subset.name, ("subsets", index, "name"))
        if subset.name in names[:index]:
            yield Problem(f"two subsets are named {subset.name}", ("subsets", index, "name"), "rename one")
        yield from _traffic_policy(subset.traffic_policy, ("subsets", index, "trafficPolicy"))


def _names_credentials(spec: DestinationRuleSpec) -> bool:
    policies = [policy for policy in (spec.traffic_policy, *(item.traffic_policy for item in spec.subsets)) if policy]
    settings = [policy.tls for policy in policies]
    settings += [port.tls for policy in policies for port in policy.port_level_settings]
    return any(tls is not None and tls.credential_name for tls in settings)


def _traffic_policy(policy: TrafficPolicy | None, path: Path) -> Iterator[Problem]:
    if policy is None:
        return
    yield from _policy_blocks(policy, path)
    for index, port in enumerate(policy.port_level_settings):
        port_path = (*path, "portLevelSettings", index)
        yield from values.port(port.port.number, (*port_path, "port", "number"))
        yield from _policy_blocks(port, port_path)


def _policy_blocks(policy: TrafficPolicy | PortTrafficPolicy, path: Path) -> Iterator[Problem]:
    yield from _load_balancer(policy.load_balancer, (*path, "loadBalancer"))
    yield from _connection_pool(policy.connection_pool, (*path, "connectionPool"))
    yield from _outlier_detection(policy.outlier_detection, (*path, "outlierDetection"))
    yield from _client_tls(policy.tls, (*path, "tls"))


def _load_balancer(balancer: LoadBalancer | None, path: Path) -> Iterator[Problem]:
    if balancer is None or balancer.consistent_hash is None:
        return
    hashed = balancer.consistent_hash
    path = (*path, "consistentHash")
    keys = (hashed.http_header_name, hashed.http_cookie, hashed.use_source_ip, hashed.http_query_parameter_name)
    if sum(key is not None for key in keys) != 1:
        yield Problem(
            "a hash needs exactly one key",
            path,
            "keep one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName",
        )
    if hashed.http_header_name is not None:
        yield from values.header_name(hashed.http_header_name, (*path, "httpHeaderName"))
    yield from _ring(hashed, path)


def _ring(hashed: ConsistentHash, path: Path) -> Iterator[Problem]:
    if hashed.ring_hash is not None and hashed.maglev is not None:
        yield Problem("ringHash and maglev exclude each other", path, "keep one")
    if hashed.minimum_ring_size is not None:
        yield from values.within(hashed.minimum_ring_size, 0, LARGEST_RING, (*path, "minimumRingSize"))
    if hashed.ring_hash is not None:
        size_path = (*path, "ringHash", "minimumRingSize")
        yield from values.within(hashed.ring_hash.minimum_ring_size, 0, LARGEST_RING, size_path)
    if hashed.maglev is not None and hashed.maglev.table_size is not None:
        yield from values.within(hashed.maglev.table_size, 0, LARGEST_TABLE, (*path, "maglev", "tableSize"))


def _connection_pool(pool: ConnectionPool | None, path: Path) -> Iterator[Problem]:
    if pool is None:
        return
    yield from _counts(pool.tcp, ("max_connections",), (*path, "tcp"))
    limits = ("http1_max_pending_requests", "http2_max_requests", "max_requests_per_connection", "max_retries")
    yield from _counts(pool.http, limits, (*path, "http"))
    yield from values.positive_duration(pool.tcp.connect_timeout, (*path, "tcp", "connectTimeout"))
    yield from _keepalive(pool.tcp.tcp_keepalive, (*path, "tcp", "tcpKeepalive"))


def _keepalive(keepalive: TCPKeepalive | None, path: Path) -> Iterator[Problem]:
    if keepalive is None:
        return
    yield from _counts(keepalive, ("probes",), path)
    for field, seconds in (("time", keepalive.time), ("interval", keepalive.interval)):
        if seconds is not None and (seconds < 1 or seconds % 1):
            yield Problem(f"{field} is not a whole number of seconds", (*path, field), "write 1s or more")


def _counts(spec: Spec, fields: Iterable[str], path: Path) -> Iterator[Problem]:
    for field in fields:
        value = getattr(spec, field)
        if value is not None and value < 0:
            alias = type(spec).model_fields[field].alias or field
            yield Problem(f"{alias} is negative", (*path, alias), "write 0 or more")


def _outlier_detection(outlier: OutlierDetection | None, path: Path) -> Iterator[Problem]:
    if outlier is None:
        return
    errors = ("consecutive5xx_errors", "consecutive_gateway_errors", "consecutive_local_origin_failures")
    yield from _counts(outlier, errors, path)
    yield from values.positive_duration(outlier.interval, (*path, "interval"))
    yield from values.positive_duration(outlier.base_ejection_time, (*path, "baseEjectionTime"))
    if outlier.max_ejection_percent is not None:
        yield from values.within(outlier.max_ejection_percent, 0, 100, (*path, "maxEjectionPercent"))
    yield from values.within(outlier.min_health_percent, 0, 100, (*path, "minHealthPercent"))


def _client_tls(tls: ClientTLS | None, path: Path) -> Iterator[Problem]:
    if tls is None:
        return
    files = tls.client_certificate or tls.private_key or tls.ca_certificates
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name:
        if files:
            yield Problem("credentialName and files of certificates exclude each other", path, "keep one")
    elif tls.mode == "MUTUAL" and not (tls.client_certificate and tls.private_key):
        yield Problem(
            "MUTUAL needs clientCertificate and privateKey, or credentialName", path, "add them, or use ISTIO_MUTUAL"
        )
    if tls.mode == "ISTIO_MUTUAL" and files:
        yield Problem("ISTIO_MUTUAL brings its own certificates", path, "take the files out")


# ServiceEntry and Sidecar


def service_entry(spec: ServiceEntrySpec) -> Iterator[Problem]:
    """A ServiceEntry."""
    yield from values.not_empty(spec.hosts, ("hosts",))
    for index, host in enumerate(spec.hosts):
        yield from values.host(host, ("hosts", index))
        if host.startswith("*"):
            yield Problem("the lab does not resolve a wildcard", ("hosts", index), "name each host")
    yield from values.not_empty(spec.ports, ("ports",))
    for index, port in enumerate(spec.ports):
        yield from values.port(port.number, ("ports", index, "number"))
        if port.number in [other.number for other in spec.ports[:index]]:
            yield Problem(f"port {port.number} is there twice", ("ports", index, "number"), "keep one")
        if port.protocol.upper() not in ("HTTP", "HTTP2", "HTTPS", "TLS", "TCP"):
            yield Problem(
                f"the lab does not speak {port.protocol}",
                ("ports", index, "protocol"),
                "it can be HTTP, HTTPS, TLS, TCP",
            )
    if spec.resolution == "STATIC":
        yield from values.not_empty(spec.endpoints, ("endpoints",))
    if spec.resolution == "NONE" and spec.endpoints:
        yield Problem("endpoints need a resolution", ("resolution",), "write STATIC or DNS")
    for index, endpoint in enumerate(spec.endpoints):
        if not endpoint.address:
            yield Problem("an endpoint has no address", ("endpoints", index), "give it one")


def sidecar(spec: SidecarSpec) -> Iterator[Problem]:
    """A Sidecar."""
    for index, listener in enumerate(spec.egress):
        for number, host in enumerate(listener.hosts):
            path: Path = ("egress", index, "hosts", number)
            if "/" not in host:
                yield Problem(f"{host!r} names no namespace", path, "write it like ./* or */*.example.com")
            yield from _scoped_host(host, path)
