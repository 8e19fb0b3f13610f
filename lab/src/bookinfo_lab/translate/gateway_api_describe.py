"""Which HTTPRoutes hold for a workload or a gateway, in words."""

from collections.abc import Iterator

from bookinfo_lab.resources.model.gateway_api import (
    BackendObject,
    PathModifier,
    RequestRedirect,
    RouteFilter,
    RouteMatch,
    RouteRule,
    ValueMatch,
)
from bookinfo_lab.resources.topology import Gateway, Workload
from bookinfo_lab.translate import gateway_api
from bookinfo_lab.translate.gateway_api import HTTPRoute
from bookinfo_lab.translate.gateway_api_routes import backend
from bookinfo_lab.translate.mesh import Host, Mesh

_PATHS = {"Exact": "is", "PathPrefix": "is or is below", "RegularExpression": "matches"}


def outbound(mesh: Mesh, workload: Workload, host: Host) -> Iterator[str]:
    """One line for each rule that `workload` follows when it calls `host`."""
    attached: dict[str, HTTPRoute] = {}
    for port in host.ports:
        for route in gateway_api.for_service(mesh.rules, workload.namespace, host, port.number):
            attached[f"{route.namespace}/{route.name}"] = route
    for route in attached.values():
        yield from (f"calls of {host.name}: {route}: {line}" for line in _rules(mesh, route, granted=False))


def edge(mesh: Mesh, gateway: Gateway) -> Iterator[str]:
    """One line for each rule that holds for what comes in at `gateway`."""
    resource = gateway_api.resource(mesh.rules, gateway)
    for port in gateway_api.ports(resource) if resource else ():
        for entrance in gateway_api.entrances(mesh, resource, port) if resource else ():
            for hostname, attached in entrance.hosts.items():
                where = f"requests for {hostname} at port {port}"
                for route in attached:
                    yield from (f"{where}: {route}: {line}" for line in _rules(mesh, route, granted=True))
                yield f"{where} that no rule matches are answered with 404"


def leading_nowhere(mesh: Mesh, route: HTTPRoute) -> Iterator[str]:
    """One line for each backend that `route` cannot have: no error, but 500 for its share of the requests."""
    granted = any(parent.kind == "Gateway" for parent in route.spec.parent_refs)
    backends = [item for rule in route.spec.rules for item in rule.backend_refs]
    reasons = (backend(mesh, route, item, granted=granted).reason for item in backends)
    for reason in dict.fromkeys(filter(None, reasons)):
        yield f"warning: httproute/{route.name} leads nowhere, so that it answers with 500: {reason}"


def _rules(mesh: Mesh, route: HTTPRoute, *, granted: bool) -> Iterator[str]:
    for rule in route.spec.rules:
        conditions = " or ".join(map(_match, rule.matches))
        effects = ", ".join(_effects(mesh, route, rule, granted=granted))
        yield f"{f'when {conditions}, ' if conditions else ''}{effects}"


def _match(match: RouteMatch) -> str:
    parts = [f"method is {match.method}"] if match.method else []
    parts += [f"header {_value(header)}" for header in match.headers]
    parts += [f"query {_value(param)}" for param in match.query_params]
    if match.path.value != "/" or match.path.type != "PathPrefix" or not parts:
        parts.insert(0, f"path {_PATHS[match.path.type]} {match.path.value}")
    return " and ".join(parts)


def _value(match: ValueMatch) -> str:
    return f"{match.name} {'matches' if match.type == 'RegularExpression' else 'is'} {match.value}"


def _effects(mesh: Mesh, route: HTTPRoute, rule: RouteRule, *, granted: bool) -> Iterator[str]:
    redirects = [item.request_redirect for item in rule.filters if item.request_redirect]
    yield from map(_redirect, redirects)
    total = sum(item.weight for item in rule.backend_refs)
    if not total and not redirects:
        yield "answered with 500: it has no backend"
    for item in rule.backend_refs:
        share = f" ({item.weight * 100 / total:g} %)" if len(rule.backend_refs) > 1 and total else ""
        yield f"to {_backend(mesh, route, item, granted=granted)}{share}"
    yield from (_filter(mesh, route, item, granted=granted) for item in rule.filters if not item.request_redirect)
    if rule.timeouts.request:
        yield f"within {rule.timeouts.request:g} s"
    if rule.timeouts.backend_request:
        yield f"each try within {rule.timeouts.backend_request:g} s"


def _backend(mesh: Mesh, route: HTTPRoute, reference: BackendObject, *, granted: bool) -> str:
    found = backend(mesh, route, reference, granted=granted)
    return f"nowhere, which is 500: {found.reason}" if found.reason else reference.name


def _redirect(redirect: RequestRedirect) -> str:
    return f"redirected with {redirect.status_code}"


def _filter(mesh: Mesh, route: HTTPRoute, item: RouteFilter, *, granted: bool) -> str:
    if item.request_mirror is not None:
        found = backend(mesh, route, item.request_mirror.backend_ref, granted=granted)
        return (
            f"not mirrored: {found.reason}" if found.reason else f"mirrored to {item.request_mirror.backend_ref.name}"
        )
    if item.url_rewrite is not None:
        parts = [f"host {item.url_rewrite.hostname}"] if item.url_rewrite.hostname else []
        parts += [_path(item.url_rewrite.path)] if item.url_rewrite.path else []
        return f"rewritten to {' and '.join(parts)}"
    return f"headers of the {'request' if item.request_header_modifier else 'response'} changed"


def _path(modifier: PathModifier) -> str:
    if modifier.replace_prefix_match is not None:
        return f"prefix {modifier.replace_prefix_match or '/'}"
    return f"path {modifier.replace_full_path}"
