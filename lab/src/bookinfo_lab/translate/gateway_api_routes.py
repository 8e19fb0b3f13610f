"""HTTPRoutes as Envoy's routes, by the Gateway API's own rules, which are not VirtualService's.

Spec: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteRule and below). Where the spec leaves a choice, Istio's
is taken: pilot/pkg/config/kube/gateway/conversion.go, and `UseGatewaySemantics` in pilot/pkg/networking/core/route.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.gateway_api import (
    GROUP,
    BackendObject,
    BackendReference,
    HeaderModifier,
    PathMatch,
    PathModifier,
    RequestMirror,
    RequestRedirect,
    RouteFilter,
    RouteMatch,
    RouteRule,
    RouteTimeouts,
    URLRewrite,
    ValueMatch,
)
from bookinfo_lab.resources.topology import service_host
from bookinfo_lab.translate.gateway_api import HTTPRoute
from bookinfo_lab.translate.mesh import Host, Mesh
from bookinfo_lab.translate.names import INVALID_BACKEND, cluster_name
from bookinfo_lab.translate.routes import (
    REDIRECTS,
    Caller,
    added_headers,
    hash_policies,
    operation_name,
    retry_policy,
    time_limit,
)

Json = dict[str, Any]

_MILLION = 1_000_000
_PATH_RANKS = ("Exact", "PathPrefix", "RegularExpression")
_WELL_KNOWN_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class _Entry:
    """One match of one rule: one route of Envoy's."""

    route: HTTPRoute
    index: int
    number: int

    @property
    def rule(self) -> RouteRule:
        return self.route.spec.rules[self.index]

    @property
    def match(self) -> RouteMatch:
        return self.rule.tried[self.number]

    @property
    def name(self) -> str:
        return self.rule.name or f"{self.route.namespace}.{self.route.name}.{self.index}"

    def __lt__(self, other: "_Entry") -> bool:
        return self._precedence() < other._precedence()

    def _precedence(self) -> tuple[Any, ...]:
        """What is tried first (HTTPRouteRule.matches); where that leaves it open, the order in the manifest."""
        path = self.match.path
        return (
            _PATH_RANKS.index(path.type),
            -len(_path_value(path)),
            self.match.method is None,
            -len(self.match.headers),
            -len(self.match.query_params),
            self.route.document.created,
            f"{self.route.namespace}/{self.route.name}",
            self.index,
            self.number,
        )


@dataclass(frozen=True)
class Backend:
    """Where a reference leads: to a host's port, or nowhere for a `reason`."""

    host: Host | None
    port: int
    reason: str = ""


def routes(mesh: Mesh, caller: Caller, attached: Sequence[HTTPRoute], *, granted: bool) -> list[Json]:
    """The routes that `caller` runs for `attached`, in the order in which they are tried.

    `granted`: a backend in another namespace needs a ReferenceGrant (at a Gateway; GEP-1426: not within the mesh).
    """
    entries = [
        _Entry(route, index, number)
        for route in attached
        for index, rule in enumerate(route.spec.rules)
        for number in range(len(rule.tried))
    ]
    return [_route(mesh, caller, entry, granted=granted) for entry in sorted(entries)]


def backend(mesh: Mesh, route: HTTPRoute, reference: BackendObject, *, granted: bool) -> Backend:
    """Where `reference` leads. An invalid one is no error: its share of requests is answered with 500."""
    namespace = reference.namespace or route.namespace
    name = service_host(reference.name, namespace)
    port = reference.port or 0
    host = mesh.hosts.get(name)
    if granted and namespace != route.namespace and not _is_granted(mesh, route, reference, namespace):
        return Backend(None, port, f"no ReferenceGrant in {namespace} lets HTTPRoutes of {route.namespace} use {name}")
    if host is None or host.external:
        return Backend(None, port, f"there is no Service {name}")
    if host.port(port) is None:
        return Backend(None, port, f"{name} has no port {port}")
    return Backend(host, port)


def _is_granted(mesh: Mesh, route: HTTPRoute, reference: BackendObject, namespace: str) -> bool:
    return any(
        grant.namespace == namespace
        and any(
            (origin.group, origin.kind, origin.namespace) == (GROUP, "HTTPRoute", route.namespace)
            for origin in grant.spec.from_
        )
        and any(target.name in (None, reference.name) for target in grant.spec.to)
        for grant in mesh.rules.reference_grants
    )


def _route(mesh: Mesh, caller: Caller, entry: _Entry, *, granted: bool) -> Json:
    filters = entry.rule.filters
    rendered: Json = {"name": entry.name, "match": _match(entry.match), **_header_changes(filters)}
    redirect = next((item.request_redirect for item in filters if item.request_redirect), None)
    if redirect is not None:
        return {**rendered, "redirect": _redirect(redirect, entry.match.path, caller)}
    shares = [
        (reference, backend(mesh, entry.route, reference, granted=granted))
        for reference in entry.rule.backend_refs
        if reference.weight
    ]
    targets = [(found.host, found.port, "") for _, found in shares if found.host]
    if not targets:  # none is named, or none has a weight, or none is valid
        return {**rendered, "direct_response": {"status": 500}}
    host, port, _ = targets[0]
    hashed = hash_policies(mesh, caller.proxy, targets)
    action = {
        **_destinations(shares),
        **_limits(entry.rule.timeouts, hashed=bool(hashed)),
        **_rewrite(filters, entry.match.path),
        **hashed,
        **_mirrors(mesh, entry, granted=granted),
    }
    return {**rendered, "route": action, "decorator": {"operation": operation_name(host.name, port)}}


# Matches


def _match(match: RouteMatch) -> Json:
    headers = [{"name": header.name, "string_match": _value(header)} for header in match.headers]
    if match.method is not None:
        headers.append({"name": ":method", "string_match": {"exact": match.method}})
    query = [{"name": param.name, "string_match": _value(param)} for param in match.query_params]
    return {
        **_path(match.path),
        **({"headers": headers} if headers else {}),
        **({"query_parameters": query} if query else {}),
    }


def _path(path: PathMatch) -> Json:
    """A prefix is one of whole path elements: /a is a prefix of /a/b and not of /ab."""
    if path.type == "Exact":
        return {"path": path.value}
    if path.type == "RegularExpression":
        return {"safe_regex": {"regex": path.value}}
    prefix = _path_value(path)
    return {"prefix": "/"} if prefix == "/" else {"path_separated_prefix": prefix}


def _path_value(path: PathMatch) -> str:
    """A prefix's trailing slash does not count."""
    return path.value.rstrip("/") or "/" if path.type == "PathPrefix" else path.value


def _value(match: ValueMatch) -> Json:
    return {"safe_regex": {"regex": match.value}} if match.type == "RegularExpression" else {"exact": match.value}


# What becomes of a request


def _destinations(shares: Sequence[tuple[BackendReference, Backend]]) -> Json:
    """Each backend by its weight. An invalid one keeps its share, which meets a cluster that is not there."""
    (reference, found), *more = shares
    if not more and not reference.filters and found.host:
        return {"cluster": cluster_name(found.port, "", found.host.name)}
    clusters = [
        {
            "name": cluster_name(found.port, "", found.host.name) if found.host else INVALID_BACKEND,
            "weight": reference.weight,
            **_header_changes(reference.filters),
        }
        for reference, found in shares
    ]
    return {
        "weighted_clusters": {"clusters": clusters},
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }


def _limits(timeouts: RouteTimeouts, *, hashed: bool) -> Json:
    """`request` is for the whole, `backendRequest` for each try; retries are the mesh's default, as for any route."""
    policy = retry_policy(None, hashed=hashed)
    if timeouts.backend_request:
        policy["retry_policy"]["per_try_timeout"] = duration(timeouts.backend_request)
    return {**time_limit(timeouts.request), **policy}


def _header_changes(filters: Sequence[RouteFilter]) -> Json:
    changes: Json = {}
    for direction in ("request", "response"):
        modifier: HeaderModifier | None = next(
            (found for item in filters if (found := getattr(item, f"{direction}_header_modifier"))), None
        )
        if modifier is not None:
            replaced = {item.name: item.value for item in modifier.set}
            appended = {item.name: item.value for item in modifier.add}
            changes[f"{direction}_headers_to_add"] = added_headers(replaced, appended)
            changes[f"{direction}_headers_to_remove"] = list(modifier.remove)
    return {name: value for name, value in changes.items() if value}


def _mirrors(mesh: Mesh, entry: _Entry, *, granted: bool) -> Json:
    """Copies of requests. One that cannot be delivered is not made."""
    mirrors = [
        {
            "cluster": cluster_name(found.port, "", found.host.name),
            "runtime_fraction": {"default_value": {"numerator": _per_million(mirror), "denominator": "MILLION"}},
            "disable_shadow_host_suffix_append": True,
        }
        for mirror in (item.request_mirror for item in entry.rule.filters)
        if mirror is not None
        for found in [backend(mesh, entry.route, mirror.backend_ref, granted=granted)]
        if found.host
    ]
    return {"request_mirror_policies": mirrors} if mirrors else {}


def _per_million(mirror: RequestMirror) -> int:
    if mirror.fraction is not None:
        return _MILLION * mirror.fraction.numerator // mirror.fraction.denominator
    return _MILLION if mirror.percent is None else mirror.percent * _MILLION // 100


def _redirect(redirect: RequestRedirect, matched: PathMatch, caller: Caller) -> Json:
    """Without a port it is the new scheme's, or else the listener's (HTTPRequestRedirectFilter.port).

    To the host that was asked it is the request's own: in a lab another port may lead to the listener.
    """
    port = redirect.port or (caller.port if redirect.hostname and not redirect.scheme else None)
    if redirect.hostname and port == _WELL_KNOWN_PORTS[redirect.scheme or ("https" if caller.tls else "http")]:
        port = None  # it goes without saying
    optional = {"scheme_redirect": redirect.scheme, "host_redirect": redirect.hostname, "port_redirect": port}
    rendered: Json = {
        "response_code": REDIRECTS[redirect.status_code],
        **{name: value for name, value in optional.items() if value is not None},
    }
    if redirect.path is not None and redirect.path.replace_full_path is not None:
        rendered["path_redirect"] = redirect.path.replace_full_path
    elif redirect.path is not None:
        rendered["regex_rewrite"] = _replaced(redirect.path, matched)
    return rendered


def _rewrite(filters: Sequence[RouteFilter], matched: PathMatch) -> Json:
    rewrite: URLRewrite | None = next((item.url_rewrite for item in filters if item.url_rewrite), None)
    rendered: Json = {}
    if rewrite is not None and rewrite.hostname is not None:
        rendered["host_rewrite_literal"] = rewrite.hostname
    if rewrite is not None and rewrite.path is not None:
        rendered["regex_rewrite"] = _replaced(rewrite.path, matched)
    return rendered


def _replaced(modifier: PathModifier, matched: PathMatch) -> Json:
    """The whole path, or the prefix that was matched, in whole path elements (HTTPPathModifier's table)."""
    if modifier.replace_prefix_match is None:
        return _substitution(r"^.*$", modifier.replace_full_path or "/", "")
    prefix = re.escape(_path_value(matched).rstrip("/"))
    replacement = modifier.replace_prefix_match.rstrip("/")
    if replacement:
        return _substitution(rf"^{prefix}(/.*)?$", replacement, r"\1")
    return _substitution(rf"^{prefix}/*(.*)$", "/", r"\1")


def _substitution(pattern: str, text: str, rest: str) -> Json:
    return {"pattern": {"regex": pattern}, "substitution": text.replace("\\", r"\\") + rest}
