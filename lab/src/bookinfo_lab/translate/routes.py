"""Routes: where a request goes, decided for each request.

Istio: pilot/pkg/networking/core/route/route.go and, for retries, route/retry/retry.go.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.networking import (
    CorsPolicy,
    Destination,
    Headers,
    HTTPDestination,
    HTTPFault,
    HTTPMatch,
    HTTPMirror,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    Percent,
    VirtualServiceSpec,
)
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.validation.networking import AUTHORITY, retry_conditions
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate import clusters
from bookinfo_lab.translate.match import ANY_PATH, is_catch_all, route_match, string_matcher
from bookinfo_lab.translate.mesh import Host, Mesh, Port
from bookinfo_lab.translate.names import cluster_name, full_host, gateway_reference, inbound_cluster_name
from bookinfo_lab.translate.traffic_policy import destination_rule, policy

Json = dict[str, Any]

NO_TIMEOUT = duration(0)

_FILTERS = "type.googleapis.com/envoy.extensions.filters.http."
_PREVIOUS_PRIORITIES = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}

# MeshConfig's default: nothing that the server may have begun to work on is tried again.
_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
_RETRIES = 2


@dataclass(frozen=True)
class Caller:
    """Who asks: what Istio decides while it translates, before any request."""

    proxy: Proxy
    gateways: frozenset[str]  # "mesh" for a sidecar, else namespace/name of the Gateways that share the listener
    port: int
    tls: bool = False  # whether requests come encrypted


@dataclass(frozen=True)
class _Context:
    mesh: Mesh
    caller: Caller
    rule: Rule[VirtualServiceSpec]


def default_route(mesh: Mesh, proxy: Proxy, host: Host, port: Port) -> Json:
    """The route to a host for which no rule holds."""
    hashed = hash_policies(mesh, proxy, [(host, port.number, "")])
    return {
        "name": "default",
        "match": ANY_PATH,
        "route": {
            "cluster": cluster_name(port.number, "", host.name),
            **time_limit(None),
            **retry_policy(None, hashed=bool(hashed)),
            **hashed,
        },
        "decorator": {"operation": operation_name(host.name, port.number)},
    }


def inbound_route(port: int, operation: str) -> Json:
    """The route from a sidecar to its own application. A request that has begun there is never tried again."""
    return {
        "name": "default",
        "match": ANY_PATH,
        "route": {
            "cluster": inbound_cluster_name(port),
            **time_limit(None),
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": _RETRIES},
        },
        "decorator": {"operation": operation},
    }


def tunnel_route(cluster: str, operation: str) -> Json:
    """The route of a CONNECT request: its bytes go to `cluster` unread."""
    return {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": cluster,
            "timeout": NO_TIMEOUT,
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
        "decorator": {"operation": operation},
    }


def passthrough_route() -> Json:
    """The route to a host that the registry does not know, under ALLOW_ANY."""
    return {
        "name": "allow_any",
        "match": ANY_PATH,
        "route": {"cluster": clusters.PASSTHROUGH, **time_limit(None)},
    }


def virtual_service_routes(mesh: Mesh, rule: Rule[VirtualServiceSpec], caller: Caller) -> list[Json]:
    """The routes of `rule` for `caller`, in its own order; what follows a catch-all is dead and left out.

    Istio: BuildHTTPRoutesForVirtualService.
    """
    context = _Context(mesh, caller, rule)
    routes = []
    for index, http in enumerate(rule.spec.http):
        for match in http.match or (HTTPMatch(),):
            if not _applies(match, rule.namespace, caller):
                continue
            routes.append(_route(context, http, match, ("spec", "http", index)))
            if is_catch_all(match):
                return routes
    return routes


def _applies(match: HTTPMatch, namespace: str, caller: Caller) -> bool:
    """Istio: sourceMatchHTTP. Gateways, if named, take the place of the source's labels and namespace."""
    if match.port is not None and match.port != caller.port:
        return False
    if match.gateways:
        return any(gateway_reference(gateway, namespace) in caller.gateways for gateway in match.gateways)
    labels = match.source_labels.items() <= caller.proxy.labels.items()
    return labels and match.source_namespace in (None, caller.proxy.namespace)


def _route(context: _Context, http: HTTPRoute, match: HTTPMatch, path: FieldPath) -> Json:
    rendered: Json = {"match": route_match(match), **_header_changes(http.headers)}
    if http.name:
        rendered["name"] = ".".join(filter(None, (http.name, match.name)))
    if match.stat_prefix:
        rendered["stat_prefix"] = match.stat_prefix
    filters = _filters(http)
    if filters:
        rendered["typed_per_filter_config"] = filters
    if http.redirect is not None:
        rendered["redirect"] = _redirect(http.redirect, context.caller)
    elif http.direct_response is not None:
        body = http.direct_response.body
        rendered["direct_response"] = {"status": http.direct_response.status}
        if body is not None:
            inline = {"inline_bytes": body.bytes} if body.bytes is not None else {"inline_string": body.string or ""}
            rendered["direct_response"]["body"] = inline
    else:
        rendered["route"] = _action(context, http, path)
        host = full_host(http.route[0].destination.host, context.rule.namespace)
        rendered["decorator"] = {"operation": operation_name(host, context.caller.port)}
    return rendered


def _action(context: _Context, http: HTTPRoute, path: FieldPath) -> Json:
    targets = [
        (destination, *_target(context, destination.destination, (*path, "route", index, "destination")))
        for index, destination in enumerate(http.route)
    ]
    if len(targets) > 1:
        # A weight of 0, or none, takes the destination out; with a single destination it means nothing.
        targets = [target for target in targets if target[0].weight]
    hashed = hash_policies(context.mesh, context.caller.proxy, [target[1:] for target in targets])
    mirrors = list(_mirrors(context, http, path))
    return {
        **_destinations(
            [(destination, cluster_name(port, subset, host.name)) for destination, host, port, subset in targets]
        ),
        **time_limit(http.timeout),
        **retry_policy(http.retries, hashed=bool(hashed)),
        **_rewrite(http.rewrite),
        **_host_rewrite(http),
        **hashed,
        **({"request_mirror_policies": mirrors} if mirrors else {}),
    }


def _destinations(targets: Sequence[tuple[HTTPDestination, str]]) -> Json:
    if len(targets) == 1 and targets[0][0].headers == Headers():
        return {"cluster": targets[0][1]}
    weighted = [
        {
            "name": name,
            "weight": destination.weight or 1,
            **_header_changes(destination.headers),
            **_host(destination.headers),
        }
        for destination, name in targets
    ]
    return {"weighted_clusters": {"clusters": weighted}}


def _target(context: _Context, destination: Destination, path: FieldPath) -> tuple[Host, int, str]:
    """What a destination names. Istio lets a rule name what is not there, and such requests fail with 503."""
    document = context.rule.document
    name = full_host(destination.host, context.rule.namespace)
    host = context.mesh.hosts.get(name)
    if host is None:
        raise document.error(manifest_errors.host_not_found(name), (*path, "host"))
    if destination.port is None and len(host.ports) > 1:
        raise document.error(manifest_errors.port_required(name), path)
    number = destination.port.number if destination.port else host.ports[0].number
    if host.port(number) is None:
        known = [port.number for port in host.ports]
        raise document.error(manifest_errors.port_not_found(name, number, known), (*path, "port"))
    subset = destination.subset or ""
    rule = destination_rule(context.mesh, context.caller.proxy, host)
    known_subsets = [item.name for item in rule.spec.subsets] if rule else []
    if subset and subset not in known_subsets:
        raise document.error(manifest_errors.subset_not_found(subset, name, known_subsets), (*path, "subset"))
    return host, number, subset


def hash_policies(mesh: Mesh, proxy: Proxy, targets: Sequence[tuple[Host, int, str]]) -> Json:
    """What of a request decides between instances, by each target's DestinationRule.

    Istio: getHashPolicyByService. The cluster's load balancer hashes what the route tells it to.
    """
    policies = []
    for host, port, subset in targets:
        balancer = policy(destination_rule(mesh, proxy, host), port, subset).load_balancer
        if balancer is not None and balancer.consistent_hash is not None:
            policies.append(clusters.hash_policy(balancer.consistent_hash))
    return {"hash_policy": policies} if policies else {}


def time_limit(seconds: float | None) -> Json:
    """The limit covers all tries together. None is no limit: Envoy's own default of 15 s must not hold."""
    # Not with `max_stream_duration` beside it, for gRPC's own header: where that is set Envoy heeds no `timeout`.
    return {"timeout": duration(seconds) if seconds else NO_TIMEOUT}


def retry_policy(retries: HTTPRetry | None, *, hashed: bool) -> Json:
    """Istio: retry.ConvertPolicy. A rule without `retries` has the mesh's default; `attempts: 0` is none."""
    settings = retries or HTTPRetry(attempts=_RETRIES)
    if settings.attempts == 0:
        return {}
    rendered: Json = {"retry_on": _RETRY_ON, "num_retries": settings.attempts}
    if settings.retry_on:
        conditions = retry_conditions(settings.retry_on)
        codes = [int(condition) for condition in conditions if condition.isdigit()]
        names = [condition for condition in conditions if not condition.isdigit()]
        rendered["retry_on"] = ",".join([*names, *(["retriable-status-codes"] if codes else [])])
        if codes:
            rendered["retriable_status_codes"] = codes
    if settings.per_try_timeout is not None:
        rendered["per_try_timeout"] = duration(settings.per_try_timeout)
    if settings.backoff is not None:
        rendered["retry_back_off"] = {"base_interval": duration(settings.backoff)}
    if settings.retry_ignore_previous_hosts and not hashed:
        # With a hash the same request must meet the same host.
        predicate = {"@type": f"type.googleapis.com/{_PREVIOUS_HOSTS}"}
        rendered["retry_host_predicate"] = [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": predicate}
        ]
        rendered["host_selection_retry_max_attempts"] = 5
    if settings.retry_remote_localities:
        # Every second try goes to the next locality in line, as in Istio.
        priority = {"@type": f"type.googleapis.com/{_PREVIOUS_PRIORITIES}", "update_frequency": 2}
        rendered["retry_priority"] = {"name": "envoy.retry_priorities.previous_priorities", "typed_config": priority}
    return {"retry_policy": rendered}


def _rewrite(rewrite: HTTPRewrite | None) -> Json:
    if rewrite is None:
        return {}
    if rewrite.uri_regex_rewrite is not None:
        pattern = {"regex": rewrite.uri_regex_rewrite.match}
        return {"regex_rewrite": {"pattern": pattern, "substitution": rewrite.uri_regex_rewrite.rewrite}}
    return {"prefix_rewrite": rewrite.uri} if rewrite.uri is not None else {}


def _host_rewrite(http: HTTPRoute) -> Json:
    authority = http.rewrite.authority if http.rewrite else None
    return {**({"host_rewrite_literal": authority} if authority else {}), **_host(http.headers)}


def _host(headers: Headers) -> Json:
    """The host that a request is given as if it were a header. Istio: TranslateHeadersOperations; `set` wins."""
    for values in (headers.request.set, headers.request.add):
        for name, value in values.items():
            if name.lower() in AUTHORITY and value:
                return {"host_rewrite_literal": value}
    return {}


def _mirrors(context: _Context, http: HTTPRoute, path: FieldPath) -> Iterator[Json]:
    """Istio: MirrorPercent. A mirror without a percentage takes everything, with 0 nothing."""
    mirrors = [(mirror, (*path, "mirrors", index, "destination")) for index, mirror in enumerate(http.mirrors)]
    if http.mirror is not None:
        mirrors.insert(0, (HTTPMirror(destination=http.mirror, percentage=http.mirror_percentage), (*path, "mirror")))
    for mirror, mirror_path in mirrors:
        host, port, subset = _target(context, mirror.destination, mirror_path)
        if mirror.percentage is None or mirror.percentage.value > 0:
            yield {
                "cluster": cluster_name(port, subset, host.name),
                "runtime_fraction": {"default_value": _fraction(mirror.percentage or Percent(value=100.0))},
                "disable_shadow_host_suffix_append": True,
            }


def _filters(http: HTTPRoute) -> Json:
    fault = _fault(http.fault)
    return {
        **({"envoy.filters.http.fault": fault} if fault else {}),
        **({"envoy.filters.http.cors": _cors(http.cors_policy)} if http.cors_policy else {}),
    }


def _fault(fault: HTTPFault | None) -> Json | None:
    """Istio: TranslateFault. A fault without a percentage happens to nobody."""
    rendered: Json = {}
    if fault is not None and fault.delay is not None and fault.delay.fixed_delay is not None:
        share = fault.delay.percentage or Percent(value=float(fault.delay.percent or 0))
        rendered["delay"] = {"fixed_delay": duration(fault.delay.fixed_delay), "percentage": _fraction(share)}
    if fault is not None and fault.abort is not None and fault.abort.http_status is not None:
        share = fault.abort.percentage or Percent()
        rendered["abort"] = {"http_status": fault.abort.http_status, "percentage": _fraction(share)}
    return {"@type": f"{_FILTERS}fault.v3.HTTPFault", **rendered} if rendered else None


def _fraction(percent: Percent) -> Json:
    return {"numerator": int(percent.value * 10_000), "denominator": "MILLION"}


def _cors(cors: CorsPolicy) -> Json:
    """Istio: TranslateCORSPolicy. A preflight from an origin that is not allowed goes on to the service."""
    rendered: Json = {
        "@type": f"{_FILTERS}cors.v3.CorsPolicy",
        "filter_enabled": {"default_value": {"numerator": 100}},
        "allow_origin_string_match": [string_matcher(origin) for origin in cors.allow_origins],
        "forward_not_matching_preflights": cors.unmatched_preflights != "IGNORE",
    }
    for name, values in (
        ("allow_methods", cors.allow_methods),
        ("allow_headers", cors.allow_headers),
        ("expose_headers", cors.expose_headers),
    ):
        if values:
            rendered[name] = ",".join(values)
    if cors.max_age is not None:
        rendered["max_age"] = str(int(cors.max_age))
    if cors.allow_credentials is not None:
        rendered["allow_credentials"] = cors.allow_credentials
    return rendered


def _redirect(redirect: HTTPRedirect, caller: Caller) -> Json:
    """Istio: ApplyRedirect. The query is kept; a scheme's own port is not written out."""
    port = caller.port if redirect.derive_port == "FROM_REQUEST_PORT" else redirect.port
    if (redirect.scheme or ("https" if caller.tls else "http"), port) in (("http", 80), ("https", 443)):
        port = None
    rendered: Json = {"response_code": REDIRECTS[redirect.redirect_code]}
    for name, value in (
        ("path_redirect", redirect.uri),
        ("host_redirect", redirect.authority),
        ("scheme_redirect", redirect.scheme),
        ("port_redirect", port),
    ):
        if value:
            rendered[name] = value
    return rendered


def _header_changes(headers: Headers) -> Json:
    changes = {
        "request_headers_to_add": added_headers(headers.request.set, headers.request.add),
        "request_headers_to_remove": list(headers.request.remove),
        "response_headers_to_add": added_headers(headers.response.set, headers.response.add),
        "response_headers_to_remove": list(headers.response.remove),
    }
    return {name: value for name, value in changes.items() if value}


def added_headers(replaced: Mapping[str, str], appended: Mapping[str, str]) -> list[Json]:
    """Headers that are set and headers that are added, as a route has them."""
    # The host is not a header to Envoy but a part of the route's action.
    changes = ((replaced, "OVERWRITE_IF_EXISTS_OR_ADD"), (appended, "APPEND_IF_EXISTS_OR_ADD"))
    return [
        {"header": {"key": name, "value": value}, "append_action": action}
        for values, action in changes
        for name, value in sorted(values.items())
        if name.lower() not in AUTHORITY
    ]


def operation_name(host: str, port: int) -> str:
    """A span's name, as Istio gives it."""
    return f"{host}:{port}/*"
