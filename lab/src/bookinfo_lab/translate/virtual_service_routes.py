"""The routes of a VirtualService. Istio: pilot/pkg/networking/core/route/route.go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    HTTPRewrite,
    HTTPRoute,
    Percent,
    VirtualServiceSpec,
)
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.validation.networking import AUTHORITY
from bookinfo_lab.translate.names import cluster_name, full_host, gateway_reference
from bookinfo_lab.translate.route_parts import (
    REDIRECT_CODES,
    Caller,
    RouteTarget,
    added_headers,
    hash_policies,
    operation_name,
    retry_policy,
    timeout,
)
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.traffic_policy import destination_rule
from bookinfo_lab.translate.virtual_service_match import is_catch_all, route_match, string_matcher
from bookinfo_lab.translate.xds import Json

_FILTERS = "type.googleapis.com/envoy.extensions.filters.http."


@dataclass(frozen=True)
class _Context:
    mesh: MeshSnapshot
    caller: Caller
    rule: Rule[VirtualServiceSpec]


def virtual_service_routes(mesh: MeshSnapshot, rule: Rule[VirtualServiceSpec], caller: Caller) -> list[Json]:
    """Return the routes of `rule` for `caller`, in the order of the rule, up to the first catch-all.

    No request reaches the routes after a catch-all. Istio: BuildHTTPRoutesForVirtualService.
    """
    context = _Context(mesh, caller, rule)
    routes = []
    for index, http in enumerate(rule.spec.http):
        for match in http.match or (HTTPMatch(),):
            if not _applies_to_caller(match, rule.namespace, caller):
                continue
            routes.append(_route(context, http, match, ("spec", "http", index)))
            if is_catch_all(match):
                return routes
    return routes


def _applies_to_caller(match: HTTPMatch, namespace: str, caller: Caller) -> bool:
    """Return whether a match includes the caller: by port, and by gateways or else by source labels and namespace.

    Istio: sourceMatchHTTP.
    """
    if match.port is not None and match.port != caller.port:
        return False
    if match.gateways:
        return any(gateway_reference(gateway, namespace) in caller.gateways for gateway in match.gateways)
    has_labels = match.source_labels.items() <= caller.proxy.labels.items()
    return has_labels and match.source_namespace in (None, caller.proxy.namespace)


def _route(context: _Context, http: HTTPRoute, match: HTTPMatch, path: FieldPath) -> Json:
    route: Json = {"match": route_match(match), **_header_changes(http.headers)}
    if http.name:
        route["name"] = ".".join(filter(None, (http.name, match.name)))
    if match.stat_prefix:
        route["stat_prefix"] = match.stat_prefix
    filters = _filters(http)
    if filters:
        route["typed_per_filter_config"] = filters
    if http.redirect is not None:
        route["redirect"] = _redirect(http.redirect, context.caller)
    elif http.direct_response is not None:
        body = http.direct_response.body
        route["direct_response"] = {"status": http.direct_response.status}
        if body is not None:
            inline = {"inline_bytes": body.bytes} if body.bytes is not None else {"inline_string": body.string or ""}
            route["direct_response"]["body"] = inline
    else:
        route["route"] = _action(context, http, path)
        host = full_host(http.route[0].destination.host, context.rule.namespace)
        route["decorator"] = {"operation": operation_name(host, context.caller.port)}
    return route


def _action(context: _Context, http: HTTPRoute, path: FieldPath) -> Json:
    targets = [
        (destination, *_target(context, destination.destination, (*path, "route", index, "destination")))
        for index, destination in enumerate(http.route)
    ]
    if len(targets) > 1:
        # A destination without a weight, or with weight 0, receives no requests, unless it is the only one.
        targets = [target for target in targets if target[0].weight]
    hash_policy = hash_policies(context.mesh, context.caller.proxy, [target[1:] for target in targets])
    mirrors = list(_mirrors(context, http, path))
    return {
        **_destinations(
            [(destination, cluster_name(port, subset, host.name)) for destination, host, port, subset in targets]
        ),
        **timeout(http.timeout),
        **retry_policy(http.retries, has_hash=bool(hash_policy)),
        **_rewrite(http.rewrite),
        **_host_rewrite(http),
        **hash_policy,
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
            **_host_header_rewrite(destination.headers),
        }
        for destination, name in targets
    ]
    return {"weighted_clusters": {"clusters": weighted}}


def _target(context: _Context, destination: Destination, path: FieldPath) -> RouteTarget:
    """Return the host, port and subset of a destination.

    Raises ManifestError for a missing one. Istio accepts it, and requests to it fail with 503.
    """
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


def _rewrite(rewrite: HTTPRewrite | None) -> Json:
    if rewrite is None:
        return {}
    if rewrite.uri_regex_rewrite is not None:
        pattern = {"regex": rewrite.uri_regex_rewrite.match}
        return {"regex_rewrite": {"pattern": pattern, "substitution": rewrite.uri_regex_rewrite.rewrite}}
    return {"prefix_rewrite": rewrite.uri} if rewrite.uri is not None else {}


def _host_rewrite(http: HTTPRoute) -> Json:
    authority = http.rewrite.authority if http.rewrite else None
    return {**({"host_rewrite_literal": authority} if authority else {}), **_host_header_rewrite(http.headers)}


def _host_header_rewrite(headers: Headers) -> Json:
    """Return the host rewrite of a rule that sets or adds the host header. `set` goes before `add`.

    Istio: TranslateHeadersOperations.
    """
    for values in (headers.request.set, headers.request.add):
        for name, value in values.items():
            if name.lower() in AUTHORITY and value:
                return {"host_rewrite_literal": value}
    return {}


def _mirrors(context: _Context, http: HTTPRoute, path: FieldPath) -> Iterator[Json]:
    """Yield the mirrors. A mirror without a percentage receives every request, with 0 none. Istio: MirrorPercent."""
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
    """Return the fault. A fault without a percentage applies to no request. Istio: TranslateFault."""
    faults: Json = {}
    if fault is not None and fault.delay is not None and fault.delay.fixed_delay is not None:
        share = fault.delay.percentage or Percent(value=float(fault.delay.percent or 0))
        faults["delay"] = {"fixed_delay": duration(fault.delay.fixed_delay), "percentage": _fraction(share)}
    if fault is not None and fault.abort is not None and fault.abort.http_status is not None:
        share = fault.abort.percentage or Percent()
        faults["abort"] = {"http_status": fault.abort.http_status, "percentage": _fraction(share)}
    return {"@type": f"{_FILTERS}fault.v3.HTTPFault", **faults} if faults else None


def _fraction(percent: Percent) -> Json:
    return {"numerator": int(percent.value * 10_000), "denominator": "MILLION"}


def _cors(cors: CorsPolicy) -> Json:
    """Return the CORS policy. A preflight from another origin is forwarded by default. Istio: TranslateCORSPolicy."""
    policy: Json = {
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
            policy[name] = ",".join(values)
    if cors.max_age is not None:
        policy["max_age"] = str(int(cors.max_age))
    if cors.allow_credentials is not None:
        policy["allow_credentials"] = cors.allow_credentials
    return policy


def _redirect(redirect: HTTPRedirect, caller: Caller) -> Json:
    """Return the redirect. It keeps the query, and omits the default port of the scheme. Istio: ApplyRedirect."""
    port = caller.port if redirect.derive_port == "FROM_REQUEST_PORT" else redirect.port
    if (redirect.scheme or ("https" if caller.tls else "http"), port) in (("http", 80), ("https", 443)):
        port = None
    action: Json = {"response_code": REDIRECT_CODES[redirect.redirect_code]}
    for name, value in (
        ("path_redirect", redirect.uri),
        ("host_redirect", redirect.authority),
        ("scheme_redirect", redirect.scheme),
        ("port_redirect", port),
    ):
        if value:
            action[name] = value
    return action


def _header_changes(headers: Headers) -> Json:
    changes = {
        "request_headers_to_add": added_headers(headers.request.set, headers.request.add),
        "request_headers_to_remove": list(headers.request.remove),
        "response_headers_to_add": added_headers(headers.response.set, headers.response.add),
        "response_headers_to_remove": list(headers.response.remove),
    }
    return {name: value for name, value in changes.items() if value}
