"""The checks of an object of the Gateway API: the rules of its CRDs (CEL), and the lab's own limits.

Rules: https://gateway-api.sigs.k8s.io/reference/spec/. Where a cluster sets the status `Accepted: False`, the lab
reports an error.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model.gateway_api import (
    CLASS,
    GROUP,
    BackendObject,
    BackendReference,
    GatewaySpec,
    HeaderModifier,
    HTTPRouteSpec,
    Listener,
    ParentReference,
    PathMatch,
    PathModifier,
    ReferenceGrantSpec,
    RequestMirror,
    RouteFilter,
    RouteMatch,
    RouteRule,
    ValueMatch,
)
from bookinfo_lab.resources.model.validation import values
from bookinfo_lab.resources.model.validation.values import Problem

MOST_WEIGHT = 1_000_000

_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_AMBIGUOUS = ("//", "/./", "/../", "%2f", "%2F", "#")


def gateway(spec: GatewaySpec) -> Iterator[Problem]:
    """A Gateway."""
    if spec.gateway_class_name != CLASS:
        yield Problem(manifest_errors.unsupported_gateway_class(spec.gateway_class_name, CLASS), ("gatewayClassName",))
    yield from values.not_empty(spec.listeners, ("listeners",))
    for index, listener in enumerate(spec.listeners):
        yield from _listener(listener, spec.listeners[:index], ("listeners", index))


def _listener(listener: Listener, before: Sequence[Listener], path: FieldPath) -> Iterator[Problem]:
    yield from values.port(listener.port, (*path, "port"))
    if listener.protocol not in ("HTTP", "HTTPS"):
        yield Problem(manifest_errors.unsupported_protocol(listener.protocol, ["HTTP", "HTTPS"]), (*path, "protocol"))
    yield from _listener_tls(listener, (*path, "tls"))
    if any(other.port == listener.port and other.protocol != listener.protocol for other in before):
        yield Problem(manifest_errors.port_with_two_protocols(listener.port), (*path, "port"))
    if listener.hostname:
        yield from _hostname(listener.hostname, (*path, "hostname"))
    if listener.name in [other.name for other in before]:
        yield Problem(manifest_errors.duplicate_name("listener", listener.name), (*path, "name"))
    if (listener.port, listener.hostname) in [(other.port, other.hostname) for other in before]:
        yield Problem(manifest_errors.duplicate_listener(), path)
    for index, kind in enumerate(listener.allowed_routes.kinds):
        if (kind.group, kind.kind) != (GROUP, "HTTPRoute"):
            yield Problem(
                manifest_errors.unsupported_reference(kind.kind, "HTTPRoute"),
                (*path, "allowedRoutes", "kinds", index, "kind"),
            )


def _listener_tls(listener: Listener, path: FieldPath) -> Iterator[Problem]:
    yield from values.https_has_tls(listener.protocol, listener.tls, path)
    if listener.tls is None:
        return
    references = listener.tls.certificate_refs
    if len(references) != 1:
        yield Problem(manifest_errors.certificate_count(len(references)), (*path, "certificateRefs"))
    for index, item in enumerate(references):
        at: FieldPath = (*path, "certificateRefs", index)
        if (item.group, item.kind) != ("", "Secret"):
            yield Problem(manifest_errors.unsupported_reference(item.kind, "Secret"), (*at, "kind"))
        if item.namespace:
            reason = "the lab reads certificates from the Gateway's own namespace"
            yield Problem(manifest_errors.unsupported_field("namespace", reason), (*at, "namespace"))


def http_route(spec: HTTPRouteSpec) -> Iterator[Problem]:
    """An HTTPRoute."""
    yield from values.not_empty(spec.parent_refs, ("parentRefs",))
    for index, parent in enumerate(spec.parent_refs):
        yield from _parent(parent, spec.parent_refs[:index], ("parentRefs", index))
    for index, hostname in enumerate(spec.hostnames):
        yield from _hostname(hostname, ("hostnames", index))
    if spec.hostnames and all(parent.kind == "Service" for parent in spec.parent_refs):
        yield Problem(manifest_errors.hostnames_for_service(), ("hostnames",))
    for index, rule in enumerate(spec.rules):
        yield from _rule(rule, ("rules", index))


def _parent(parent: ParentReference, before: Iterable[ParentReference], path: FieldPath) -> Iterator[Problem]:
    if (parent.group, parent.kind) not in ((GROUP, "Gateway"), ("", "Service")):
        kind = f"{parent.group}/{parent.kind}" if parent.group else parent.kind
        supported = f'a Gateway, or a Service with group: "" (not {GROUP})'
        yield Problem(manifest_errors.unsupported_reference(kind, supported), path)
    if parent.kind == "Service" and parent.section_name:
        yield Problem(manifest_errors.section_of_service(), (*path, "sectionName"))
    if parent.port is not None:
        yield from values.port(parent.port, (*path, "port"))
    same = [other for other in before if _name(other) == _name(parent)]
    repeated = parent.section_name in [other.section_name for other in same]
    if repeated or any(not other.section_name for other in (*same, parent) if same):
        yield Problem(manifest_errors.duplicate_parent(), path)


def _name(parent: ParentReference) -> tuple[str, ...]:
    """Identify a parent. In the standard channel the port is not part of it (HTTPRouteSpec.parentRefs)."""
    return parent.group, parent.kind, parent.namespace, parent.name


def _rule(rule: RouteRule, path: FieldPath) -> Iterator[Problem]:
    for index, match in enumerate(rule.matches):
        yield from _match(match, (*path, "matches", index))
    yield from _filters(rule, path)
    for index, backend in enumerate(rule.backend_refs):
        yield from _backend(backend, (*path, "backendRefs", index))
    request, backend_request = rule.timeouts.request, rule.timeouts.backend_request
    if request and backend_request and backend_request > request:
        yield Problem(manifest_errors.backend_timeout_too_long(), (*path, "timeouts", "backendRequest"))


# Matches


def _match(match: RouteMatch, path: FieldPath) -> Iterator[Problem]:
    yield from _path(match.path, (*path, "path", "value"))
    if match.method == "CONNECT":
        yield Problem(manifest_errors.unsupported_value("CONNECT", ["another method"]), (*path, "method"))
    yield from _values(match.headers, [header.name.lower() for header in match.headers], (*path, "headers"))
    for index, header in enumerate(match.headers):
        yield from _header_name(header.name, (*path, "headers", index, "name"))
    yield from _values(match.query_params, [param.name for param in match.query_params], (*path, "queryParams"))


def _path(match: PathMatch, path: FieldPath) -> Iterator[Problem]:
    if match.type != "RegularExpression":  # Envoy validates RE2
        yield from _whole_path(match.value, path)


def _whole_path(value: str, path: FieldPath) -> Iterator[Problem]:
    ambiguous = [part for part in _AMBIGUOUS if part in value]
    fix = ""
    if not value.startswith("/"):
        fix = "start it with /"
    elif ambiguous or value.endswith(("/.", "/..")):
        fix = f"remove {ambiguous[0]}" if ambiguous else "remove the dots at the end"
    elif not _PATH.fullmatch(value):
        fix = "percent-encode every character that the path of a URL cannot contain"
    if fix:
        yield Problem(manifest_errors.invalid_path(value, fix), path)


def _values(matches: Sequence[ValueMatch], names: Sequence[str], path: FieldPath) -> Iterator[Problem]:
    for index, match in enumerate(matches):
        if names[index] in names[:index]:
            yield Problem(manifest_errors.duplicate_item(match.name), (*path, index))


# Filters

_FIELDS = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "RequestRedirect": "request_redirect",
    "URLRewrite": "url_rewrite",
}


def _filters(rule: RouteRule, path: FieldPath) -> Iterator[Problem]:
    types = [item.type for item in rule.filters]
    for index, item in enumerate(rule.filters):
        at: FieldPath = (*path, "filters", index)
        yield from _filter(item, rule, at)
        if item.type in types[:index] and item.type != "RequestMirror":
            yield Problem(manifest_errors.duplicate_filter(item.type), at)
    if "RequestRedirect" in types:
        if "URLRewrite" in types:
            yield Problem(manifest_errors.mutually_exclusive(["RequestRedirect", "URLRewrite"]), (*path, "filters"))
        if rule.backend_refs:
            yield Problem(
                manifest_errors.mutually_exclusive(["RequestRedirect", "backendRefs"]), (*path, "backendRefs")
            )


def _filter(item: RouteFilter, rule: RouteRule, path: FieldPath) -> Iterator[Problem]:
    for kind, field in _FIELDS.items():
        present = getattr(item, field) is not None
        alias = type(item).model_fields[field].alias or field
        if present != (kind == item.type):
            mismatch = manifest_errors.required_by_type if kind == item.type else manifest_errors.not_allowed_by_type
            yield Problem(mismatch(item.type, alias), path)
            return
    yield from _header_modifier(item.request_header_modifier, (*path, "requestHeaderModifier"))
    yield from _header_modifier(item.response_header_modifier, (*path, "responseHeaderModifier"))
    yield from _mirror(item.request_mirror, (*path, "requestMirror"))
    if item.request_redirect is not None:
        at: FieldPath = (*path, "requestRedirect")
        yield from _new_hostname(item.request_redirect.hostname, (*at, "hostname"))
        yield from _path_modifier(item.request_redirect.path, rule, (*at, "path"))
        if item.request_redirect.port is not None:
            yield from values.port(item.request_redirect.port, (*at, "port"))
    if item.url_rewrite is not None:
        at = (*path, "urlRewrite")
        yield from _new_hostname(item.url_rewrite.hostname, (*at, "hostname"))
        yield from _path_modifier(item.url_rewrite.path, rule, (*at, "path"))


def _header_modifier(modifier: HeaderModifier | None, path: FieldPath) -> Iterator[Problem]:
    if modifier is None:
        return
    changes = (
        ("set", [item.name for item in modifier.set]),
        ("add", [item.name for item in modifier.add]),
        ("remove", list(modifier.remove)),
    )
    for field, names in changes:
        lower = [name.lower() for name in names]
        for index, name in enumerate(names):
            yield from _header_name(name, (*path, field, index))
            if name.lower() == "host":
                yield Problem(
                    manifest_errors.unmodifiable_header(name, "use the hostname of a URLRewrite"), (*path, field, index)
                )
            if name.lower() in lower[:index]:
                yield Problem(manifest_errors.duplicate_item(name), (*path, field, index))


def _header_name(name: str, path: FieldPath) -> Iterator[Problem]:
    if not _HEADER.fullmatch(name):
        yield Problem(manifest_errors.invalid_header_name(name), path)


def _mirror(mirror: RequestMirror | None, path: FieldPath) -> Iterator[Problem]:
    if mirror is None:
        return
    yield from _reference(mirror.backend_ref, (*path, "backendRef"))
    if mirror.percent is not None and mirror.fraction is not None:
        yield Problem(manifest_errors.mutually_exclusive(["percent", "fraction"]), path)
    if mirror.percent is not None:
        yield from values.within(mirror.percent, 0, 100, (*path, "percent"))
    if mirror.fraction is not None:
        yield from values.within(mirror.fraction.denominator, 1, 2**31 - 1, (*path, "fraction", "denominator"))
        yield from values.within(
            mirror.fraction.numerator, 0, mirror.fraction.denominator, (*path, "fraction", "numerator")
        )


def _new_hostname(hostname: str | None, path: FieldPath) -> Iterator[Problem]:
    if hostname is not None:
        yield from _hostname(hostname, path)
        if hostname.startswith("*"):
            yield Problem(manifest_errors.wildcard_not_allowed(hostname), path)


def _path_modifier(modifier: PathModifier | None, rule: RouteRule, path: FieldPath) -> Iterator[Problem]:
    if modifier is None:
        return
    prefix = modifier.type == "ReplacePrefixMatch"
    values_by_field = {
        "replacePrefixMatch": modifier.replace_prefix_match,
        "replaceFullPath": modifier.replace_full_path,
    }
    for field, value in values_by_field.items():
        required = (field == "replacePrefixMatch") == prefix
        if required and value is None:
            yield Problem(manifest_errors.required_by_type(modifier.type, field), path)
        if not required and value is not None:
            yield Problem(manifest_errors.not_allowed_by_type(modifier.type, field), path)
    if prefix and [match.path.type for match in rule.tried] != ["PathPrefix"]:
        yield Problem(manifest_errors.prefix_replacement_without_prefix(), path)


# References


def _backend(backend: BackendReference, path: FieldPath) -> Iterator[Problem]:
    yield from _reference(backend, path)
    yield from values.within(backend.weight, 0, MOST_WEIGHT, (*path, "weight"))
    for index, item in enumerate(backend.filters):
        at: FieldPath = (*path, "filters", index)
        if item.type not in ("RequestHeaderModifier", "ResponseHeaderModifier"):
            yield Problem(manifest_errors.unsupported_backend_filter(item.type), at)
        else:
            yield from _filter(item, RouteRule(), at)


def _reference(backend: BackendObject, path: FieldPath) -> Iterator[Problem]:
    if (backend.group, backend.kind) != ("", "Service"):
        yield Problem(manifest_errors.unsupported_reference(backend.kind, "Service"), (*path, "kind"))
    if backend.port is None:
        yield Problem(manifest_errors.missing_field("port"), path)
    else:
        yield from values.port(backend.port, (*path, "port"))


def _hostname(hostname: str, path: FieldPath) -> Iterator[Problem]:
    if not _HOSTNAME.fullmatch(hostname) or _ADDRESS.fullmatch(hostname):
        yield Problem(manifest_errors.invalid_host(hostname), path)


def reference_grant(spec: ReferenceGrantSpec) -> Iterator[Problem]:
    """A ReferenceGrant."""
    yield from values.not_empty(spec.from_, ("from",))
    yield from values.not_empty(spec.to, ("to",))
    for index, origin in enumerate(spec.from_):
        if (origin.group, origin.kind) != (GROUP, "HTTPRoute"):
            yield Problem(manifest_errors.unsupported_reference(origin.kind, f"HTTPRoute of {GROUP}"), ("from", index))
    for index, target in enumerate(spec.to):
        if (target.group, target.kind) != ("", "Service"):
            yield Problem(manifest_errors.unsupported_reference(target.kind, "Service"), ("to", index))
