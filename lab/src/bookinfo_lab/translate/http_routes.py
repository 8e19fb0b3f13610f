"""The routes of HTTPRoutes. Their rules differ from those of VirtualServices.

Spec: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteRule and below). Where the spec leaves a choice to the
implementation, the lab follows Istio:
pilot/pkg/config/kube/gateway/conversion.go, and `UseGatewaySemantics` in pilot/pkg/networking/core/route.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.gateway_api import (
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
from bookinfo_lab.translate.http_route_backends import Backend, HTTPRoute, resolve_backend
from bookinfo_lab.translate.names import INVALID_BACKEND_CLUSTER, cluster_name
from bookinfo_lab.translate.route_parts import (
    REDIRECT_CODES,
    Caller,
    added_headers,
    hash_policies,
    operation_name,
    retry_policy,
    timeout,
)
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.xds import Json

_MILLION = 1_000_000
_PATH_PRECEDENCE = ("Exact", "PathPrefix", "RegularExpression")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class _RuleMatch:
    """One match of one rule of an HTTPRoute: one route of Envoy."""

    route: HTTPRoute
    rule_index: int
    match_index: int

    @property
    def rule(self) -> RouteRule:
        return self.route.spec.rules[self.rule_index]

    @property
    def match(self) -> RouteMatch:
        return self.rule.tried[self.match_index]

    @property
    def name(self) -> str:
        return self.rule.name or f"{self.route.namespace}.{self.route.name}.{self.rule_index}"

    def __lt__(self, other: "_RuleMatch") -> bool:
        return self._precedence() < other._precedence()

    def _precedence(self) -> tuple[Any, ...]:
        """Return the sort key: HTTPRouteRule.matches, and for equal matches the order of the manifest."""
        path = self.match.path
        return (
            _PATH_PRECEDENCE.index(path.type),
            -len(_path_value(path)),
            self.match.method is None,
            -len(self.match.headers),
            -len(self.match.query_params),
            self.route.document.created,
            f"{self.route.namespace}/{self.route.name}",
            self.rule_index,
            self.match_index,
        )


def http_route_routes(
    mesh: MeshSnapshot, caller: Caller, attached: Sequence[HTTPRoute], *, needs_grant: bool
) -> list[Json]:
    """Return the routes of the `attached` HTTPRoutes for `caller`, in the order in which Envoy must match them.

    `needs_grant`: see `resolve_backend`.
    """
    matches = [
        _RuleMatch(route, rule_index, match_index)
        for route in attached
        for rule_index, rule in enumerate(route.spec.rules)
        for match_index in range(len(rule.tried))
    ]
    return [_route(mesh, caller, item, needs_grant=needs_grant) for item in sorted(matches)]


def _route(mesh: MeshSnapshot, caller: Caller, item: _RuleMatch, *, needs_grant: bool) -> Json:
    filters = item.rule.filters
    route: Json = {"name": item.name, "match": _match(item.match), **_header_changes(filters)}
    redirect = next((entry.request_redirect for entry in filters if entry.request_redirect), None)
    if redirect is not None:
        return {**route, "redirect": _redirect(redirect, item.match.path, caller)}
    backends = [
        (reference, resolve_backend(mesh, item.route, reference, needs_grant=needs_grant))
        for reference in item.rule.backend_refs
        if reference.weight
    ]
    targets = [(backend.host, backend.port, "") for _, backend in backends if backend.host]
    if not targets:  # the rule has no backend, or none with a weight, or none that is valid
        return {**route, "direct_response": {"status": 500}}
    host, port, _ = targets[0]
    hash_policy = hash_policies(mesh, caller.proxy, targets)
    action = {
        **_destinations(backends),
        **_timeouts_and_retries(item.rule.timeouts, has_hash=bool(hash_policy)),
        **_rewrite(filters, item.match.path),
        **hash_policy,
        **_mirrors(mesh, item, needs_grant=needs_grant),
    }
    return {**route, "route": action, "decorator": {"operation": operation_name(host.name, port)}}


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
    """Return the condition. A prefix consists of whole path elements: /a is a prefix of /a/b, but not of /ab."""
    if path.type == "Exact":
        return {"path": path.value}
    if path.type == "RegularExpression":
        return {"safe_regex": {"regex": path.value}}
    prefix = _path_value(path)
    return {"prefix": "/"} if prefix == "/" else {"path_separated_prefix": prefix}


def _path_value(path: PathMatch) -> str:
    """Return the path without the trailing slash of a prefix, which has no meaning."""
    return path.value.rstrip("/") or "/" if path.type == "PathPrefix" else path.value


def _value(match: ValueMatch) -> Json:
    return {"safe_regex": {"regex": match.value}} if match.type == "RegularExpression" else {"exact": match.value}


# Actions and filters


def _destinations(backends: Sequence[tuple[BackendReference, Backend]]) -> Json:
    """Return each backend with its weight. The share of an invalid one goes to an undefined cluster, which is 500."""
    (reference, backend), *others = backends
    if not others and not reference.filters and backend.host:
        return {"cluster": cluster_name(backend.port, "", backend.host.name)}
    clusters = [
        {
            "name": cluster_name(backend.port, "", backend.host.name) if backend.host else INVALID_BACKEND_CLUSTER,
            "weight": reference.weight,
            **_header_changes(reference.filters),
        }
        for reference, backend in backends
    ]
    return {
        "weighted_clusters": {"clusters": clusters},
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }


def _timeouts_and_retries(timeouts: RouteTimeouts, *, has_hash: bool) -> Json:
    """Return the timeouts and the default retries. `request` limits all tries together, `backendRequest` each try."""
    policy = retry_policy(None, has_hash=has_hash)
    if timeouts.backend_request:
        policy["retry_policy"]["per_try_timeout"] = duration(timeouts.backend_request)
    return {**timeout(timeouts.request), **policy}


def _header_changes(filters: Sequence[RouteFilter]) -> Json:
    changes: Json = {}
    for direction in ("request", "response"):
        modifier: HeaderModifier | None = next(
            (value for item in filters if (value := getattr(item, f"{direction}_header_modifier"))), None
        )
        if modifier is not None:
            replaced = {item.name: item.value for item in modifier.set}
            appended = {item.name: item.value for item in modifier.add}
            changes[f"{direction}_headers_to_add"] = added_headers(replaced, appended)
            changes[f"{direction}_headers_to_remove"] = list(modifier.remove)
    return {name: value for name, value in changes.items() if value}


def _mirrors(mesh: MeshSnapshot, item: _RuleMatch, *, needs_grant: bool) -> Json:
    """Return the mirrors with a valid backend. Other mirrors are ignored."""
    mirrors = [
        {
            "cluster": cluster_name(backend.port, "", backend.host.name),
            "runtime_fraction": {"default_value": {"numerator": _per_million(mirror), "denominator": "MILLION"}},
            "disable_shadow_host_suffix_append": True,
        }
        for mirror in (entry.request_mirror for entry in item.rule.filters)
        if mirror is not None
        for backend in [resolve_backend(mesh, item.route, mirror.backend_ref, needs_grant=needs_grant)]
        if backend.host
    ]
    return {"request_mirror_policies": mirrors} if mirrors else {}


def _per_million(mirror: RequestMirror) -> int:
    if mirror.fraction is not None:
        return _MILLION * mirror.fraction.numerator // mirror.fraction.denominator
    return _MILLION if mirror.percent is None else mirror.percent * _MILLION // 100


def _redirect(redirect: RequestRedirect, matched: PathMatch, caller: Caller) -> Json:
    """Return the redirect. The default port is that of the new scheme, else of the listener.

    A redirect to the same host keeps the port of the request, because in a lab the listener can have another port than
    the one that the client uses. Spec: HTTPRequestRedirectFilter.port.
    """
    port = redirect.port or (caller.port if redirect.hostname and not redirect.scheme else None)
    if redirect.hostname and port == _DEFAULT_PORTS[redirect.scheme or ("https" if caller.tls else "http")]:
        port = None  # the default port of the scheme is omitted
    optional = {"scheme_redirect": redirect.scheme, "host_redirect": redirect.hostname, "port_redirect": port}
    action: Json = {
        "response_code": REDIRECT_CODES[redirect.status_code],
        **{name: value for name, value in optional.items() if value is not None},
    }
    if redirect.path is not None and redirect.path.replace_full_path is not None:
        action["path_redirect"] = redirect.path.replace_full_path
    elif redirect.path is not None:
        action["regex_rewrite"] = _path_rewrite(redirect.path, matched)
    return action


def _rewrite(filters: Sequence[RouteFilter], matched: PathMatch) -> Json:
    rewrite: URLRewrite | None = next((item.url_rewrite for item in filters if item.url_rewrite), None)
    action: Json = {}
    if rewrite is not None and rewrite.hostname is not None:
        action["host_rewrite_literal"] = rewrite.hostname
    if rewrite is not None and rewrite.path is not None:
        action["regex_rewrite"] = _path_rewrite(rewrite.path, matched)
    return action


def _path_rewrite(modifier: PathModifier, matched: PathMatch) -> Json:
    """Return the replacement of the whole path, or of the matched prefix by whole path elements.

    Spec: the table of HTTPPathModifier.
    """
    if modifier.replace_prefix_match is None:
        return _substitution(r"^.*$", modifier.replace_full_path or "/", "")
    prefix = re.escape(_path_value(matched).rstrip("/"))
    replacement = modifier.replace_prefix_match.rstrip("/")
    if replacement:
        return _substitution(rf"^{prefix}(/.*)?$", replacement, r"\1")
    return _substitution(rf"^{prefix}/*(.*)$", "/", r"\1")


def _substitution(pattern: str, replacement: str, rest: str) -> Json:
    return {"pattern": {"regex": pattern}, "substitution": replacement.replace("\\", r"\\") + rest}
