"""The rules of HTTPRoutes, in sentences, and the warnings about their invalid backends."""

from collections.abc import Iterator

from bookinfo_lab.resources.model.gateway_api import (
    BackendObject,
    PathModifier,
    RouteFilter,
    RouteMatch,
    RouteRule,
    ValueMatch,
)
from bookinfo_lab.resources.topology import Gateway, Workload
from bookinfo_lab.translate import gateway_api
from bookinfo_lab.translate.http_route_backends import HTTPRoute, resolve_backend
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.snapshot import MeshSnapshot

_PATH_VERBS = {"Exact": "is", "PathPrefix": "is or is below", "RegularExpression": "matches"}


def calls(mesh: MeshSnapshot, workload: Workload, host: Host) -> Iterator[str]:
    """Yield one line for each rule that applies when `workload` calls `host`."""
    attached: dict[str, HTTPRoute] = {}
    for port in host.ports:
        for route in gateway_api.routes_for_service(mesh.rules, workload.namespace, host, port.number):
            attached[f"{route.namespace}/{route.name}"] = route
    for route in attached.values():
        yield from (f"calls to {host.name}: {route}: {line}" for line in _rules(mesh, route, needs_grant=False))


def gateway_routes(mesh: MeshSnapshot, gateway: Gateway) -> Iterator[str]:
    """Yield one line for each rule that applies to requests to `gateway`."""
    resource = gateway_api.gateway_resource(mesh.rules, gateway)
    for port in gateway_api.listener_ports(resource) if resource else ():
        for group in gateway_api.listener_groups(mesh, resource, port) if resource else ():
            for hostname, attached in group.routes_by_hostname.items():
                requests = f"requests for {hostname} at port {port}"
                for route in attached:
                    yield from (f"{requests}: {route}: {line}" for line in _rules(mesh, route, needs_grant=True))
                yield f"{requests} that match no rule get 404"


def invalid_backend_warnings(mesh: MeshSnapshot, route: HTTPRoute) -> Iterator[str]:
    """Yield one line for each invalid backend of `route`. It is not an error: its share of requests gets 500."""
    needs_grant = any(parent.kind == "Gateway" for parent in route.spec.parent_refs)
    backends = [item for rule in route.spec.rules for item in rule.backend_refs]
    reasons = (resolve_backend(mesh, route, item, needs_grant=needs_grant).reason for item in backends)
    for reason in dict.fromkeys(filter(None, reasons)):
        yield f"warning: httproute/{route.name} has an invalid backend, whose requests get 500: {reason}"


def _rules(mesh: MeshSnapshot, route: HTTPRoute, *, needs_grant: bool) -> Iterator[str]:
    for rule in route.spec.rules:
        conditions = " or ".join(map(_match, rule.matches))
        effects = ", ".join(_effects(mesh, route, rule, needs_grant=needs_grant))
        yield f"{f'when {conditions}, ' if conditions else ''}{effects}"


def _match(match: RouteMatch) -> str:
    parts = [f"method is {match.method}"] if match.method else []
    parts += [f"header {_value(header)}" for header in match.headers]
    parts += [f"query parameter {_value(param)}" for param in match.query_params]
    if match.path.value != "/" or match.path.type != "PathPrefix" or not parts:
        parts.insert(0, f"path {_PATH_VERBS[match.path.type]} {match.path.value}")
    return " and ".join(parts)


def _value(match: ValueMatch) -> str:
    return f"{match.name} {'matches' if match.type == 'RegularExpression' else 'is'} {match.value}"


def _effects(mesh: MeshSnapshot, route: HTTPRoute, rule: RouteRule, *, needs_grant: bool) -> Iterator[str]:
    redirects = [item.request_redirect for item in rule.filters if item.request_redirect]
    yield from (f"redirect {redirect.status_code}" for redirect in redirects)
    total = sum(item.weight for item in rule.backend_refs)
    if not total and not redirects:
        yield "get 500 because the rule has no backend"
    for reference in rule.backend_refs:
        share = f"{reference.weight * 100 / total:g} % " if len(rule.backend_refs) > 1 and total else ""
        yield f"{share}{_backend(mesh, route, reference, needs_grant=needs_grant)}"
    for item in rule.filters:
        if not item.request_redirect:
            yield _filter(mesh, route, item, needs_grant=needs_grant)
    if rule.timeouts.request:
        yield f"timeout {rule.timeouts.request:g} s"
    if rule.timeouts.backend_request:
        yield f"timeout of each try {rule.timeouts.backend_request:g} s"


def _backend(mesh: MeshSnapshot, route: HTTPRoute, reference: BackendObject, *, needs_grant: bool) -> str:
    reason = resolve_backend(mesh, route, reference, needs_grant=needs_grant).reason
    return f"get 500 ({reason})" if reason else f"to {reference.name}"


def _filter(mesh: MeshSnapshot, route: HTTPRoute, item: RouteFilter, *, needs_grant: bool) -> str:
    if item.request_mirror is not None:
        reference = item.request_mirror.backend_ref
        reason = resolve_backend(mesh, route, reference, needs_grant=needs_grant).reason
        return f"not mirrored ({reason})" if reason else f"mirrored to {reference.name}"
    if item.url_rewrite is not None:
        parts = [f"host {item.url_rewrite.hostname}"] if item.url_rewrite.hostname else []
        parts += [_path(item.url_rewrite.path)] if item.url_rewrite.path else []
        return f"rewritten to {' and '.join(parts)}"
    return f"{'request' if item.request_header_modifier else 'response'} headers changed"


def _path(modifier: PathModifier) -> str:
    if modifier.replace_prefix_match is not None:
        return f"path prefix {modifier.replace_prefix_match or '/'}"
    return f"path {modifier.replace_full_path}"
