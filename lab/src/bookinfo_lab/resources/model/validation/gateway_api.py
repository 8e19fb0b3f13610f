"""What types cannot say about an object of the Gateway API: the rules of its CRDs (CEL), and the lab's own limits.

Rules: https://gateway-api.sigs.k8s.io/reference/spec/. What would be `Accepted: False` in a status is an error here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from bookinfo_lab.resources.documents import Path
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
_UNCLEAR = ("//", "/./", "/../", "%2f", "%2F", "#")


def gateway(spec: GatewaySpec) -> Iterator[Problem]:
    """A Gateway."""
    if spec.gateway_class_name != CLASS:
        yield Problem(
            f"there is no GatewayClass {spec.gateway_class_name}",
            ("gatewayClassName",),
            f"the lab's only one is {CLASS}; any other takes a cluster",
        )
    yield from values.not_empty(spec.listeners, ("listeners",))
    for index, listener in enumerate(spec.listeners):
        yield from _listener(listener, spec.listeners[:index], ("listeners", index))


def _listener(listener: Listener, before: Sequence[Listener], path: Path) -> Iterator[Problem]:
    yield from values.port(listener.port, (*path, "port"))
    if listener.protocol not in ("HTTP", "HTTPS"):
        yield Problem(
            f"the lab's gateways do not speak {listener.protocol}", (*path, "protocol"), "write HTTP or HTTPS"
        )
    yield from _listener_tls(listener, (*path, "tls"))
    if any(other.port == listener.port and other.protocol != listener.protocol for other in before):
        yield Problem(f"port {listener.port} has another protocol already", (*path, "port"), "choose another port")
    if listener.hostname:
        yield from _hostname(listener.hostname, (*path, "hostname"))
    if listener.name in [other.name for other in before]:
        yield Problem(f"two listeners are named {listener.name}", (*path, "name"), "rename one")
    if (listener.port, listener.hostname) in [(other.port, other.hostname) for other in before]:
        yield Problem("another listener has this port and hostname already", path, "give it another of either")
    for index, kind in enumerate(listener.allowed_routes.kinds):
        if (kind.group, kind.kind) != (GROUP, "HTTPRoute"):
            yield Problem(
                f"the lab implements no {kind.kind}",
                (*path, "allowedRoutes", "kinds", index, "kind"),
                "it can be HTTPRoute",
            )


def _listener_tls(listener: Listener, path: Path) -> Iterator[Problem]:
    if (listener.protocol == "HTTPS") != (listener.tls is not None):
        yield Problem("HTTPS and tls go together", path, "write both, or neither")
    if listener.tls is None:
        return
    references = listener.tls.certificate_refs
    if len(references) != 1:
        yield Problem("a listener needs one certificate", (*path, "certificateRefs"), "name one Secret")
    for index, item in enumerate(references):
        at: Path = (*path, "certificateRefs", index)
        if (item.group, item.kind) != ("", "Secret"):
            yield Problem(f"a certificate is no {item.kind}", (*at, "kind"), "name a Secret")
        if item.namespace:
            yield Problem(
                "the lab takes certificates of the Gateway's own namespace", (*at, "namespace"), "take it out"
            )


def http_route(spec: HTTPRouteSpec) -> Iterator[Problem]:
    """An HTTPRoute."""
    yield from values.not_empty(spec.parent_refs, ("parentRefs",))
    for index, parent in enumerate(spec.parent_refs):
        yield from _parent(parent, spec.parent_refs[:index], ("parentRefs", index))
    for index, hostname in enumerate(spec.hostnames):
        yield from _hostname(hostname, ("hostnames", index))
    if spec.hostnames and all(parent.kind == "Service" for parent in spec.parent_refs):
        yield Problem(
            "for a Service hostnames mean nothing (GEP-1426): it is called by its own names",
            ("hostnames",),
            "take it out",
        )
    for index, rule in enumerate(spec.rules):
        yield from _rule(rule, ("rules", index))


def _parent(parent: ParentReference, before: Iterable[ParentReference], path: Path) -> Iterator[Problem]:
    if (parent.group, parent.kind) not in ((GROUP, "Gateway"), ("", "Service")):
        kind = f"{parent.group}/{parent.kind}" if parent.group else parent.kind
        yield Problem(
            f"the lab attaches no route to a {kind}", path, f'name a Gateway, or a Service with group: "" (not {GROUP})'
        )
    if parent.kind == "Service" and parent.section_name:
        yield Problem("a Service has no sections", (*path, "sectionName"), "write its port")
    if parent.port is not None:
        yield from values.port(parent.port, (*path, "port"))
    same = [other for other in before if _name(other) == _name(parent)]
    if parent.section_name in [other.section_name for other in same]:
        yield Problem("this parent is there twice", path, "keep one, or tell them apart by sectionName")
    elif any(not other.section_name for other in (*same, parent) if same):
        yield Problem(
            "this parent is there twice, once without sectionName", path, "write a sectionName for each, or keep one"
        )


def _name(parent: ParentReference) -> tuple[str, ...]:
    """Which object it is; in the standard channel the port tells no two apart (HTTPRouteSpec.parentRefs)."""
    return parent.group, parent.kind, parent.namespace, parent.name


def _rule(rule: RouteRule, path: Path) -> Iterator[Problem]:
    for index, match in enumerate(rule.matches):
        yield from _match(match, (*path, "matches", index))
    yield from _filters(rule, path)
    for index, backend in enumerate(rule.backend_refs):
        yield from _backend(backend, (*path, "backendRefs", index))
    request, backend_request = rule.timeouts.request, rule.timeouts.backend_request
    if request and backend_request and backend_request > request:
        yield Problem(
            "backendRequest is longer than request", (*path, "timeouts", "backendRequest"), "write a shorter one"
        )


# Matches


def _match(match: RouteMatch, path: Path) -> Iterator[Problem]:
    yield from _path(match.path, (*path, "path", "value"))
    if match.method == "CONNECT":
        yield Problem("the lab routes no CONNECT", (*path, "method"), "match another method")
    yield from _values(match.headers, [header.name.lower() for header in match.headers], (*path, "headers"))
    for index, header in enumerate(match.headers):
        yield from _header_name(header.name, (*path, "headers", index, "name"))
    yield from _values(match.query_params, [param.name for param in match.query_params], (*path, "queryParams"))


def _path(match: PathMatch, path: Path) -> Iterator[Problem]:
    if match.type != "RegularExpression":  # RE2 is Envoy's to judge
        yield from _whole_path(match.value, path)


def _whole_path(value: str, path: Path) -> Iterator[Problem]:
    unclear = [part for part in _UNCLEAR if part in value]
    if not value.startswith("/"):
        yield Problem(f"{value!r} does not begin with /", path, "write an absolute path")
    elif unclear or value.endswith(("/.", "/..")):
        yield Problem(f"a path cannot hold {unclear[0] if unclear else '/. at its end'}", path, "write it plainly")
    elif not _PATH.fullmatch(value):
        yield Problem(f"{value!r} is not a path", path, "percent-encode what a URL's path cannot hold")


def _values(matches: Sequence[ValueMatch], names: Sequence[str], path: Path) -> Iterator[Problem]:
    for index, match in enumerate(matches):
        if names[index] in names[:index]:
            yield Problem(f"{match.name} is there twice, and only the first would count", (*path, index), "keep one")


# Filters

_FIELDS = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "RequestRedirect": "request_redirect",
    "URLRewrite": "url_rewrite",
}


def _filters(rule: RouteRule, path: Path) -> Iterator[Problem]:
    types = [item.type for item in rule.filters]
    for index, item in enumerate(rule.filters):
        at: Path = (*path, "filters", index)
        yield from _filter(item, rule, at)
        if item.type in types[:index] and item.type != "RequestMirror":
            yield Problem(f"{item.type} cannot be repeated", at, "put both into one")
    if "RequestRedirect" in types:
        if "URLRewrite" in types:
            yield Problem("RequestRedirect and URLRewrite exclude each other", (*path, "filters"), "keep one")
        if rule.backend_refs:
            yield Problem("a redirect has no backends", (*path, "backendRefs"), "take them out, or the redirect")


def _filter(item: RouteFilter, rule: RouteRule, path: Path) -> Iterator[Problem]:
    for kind, field in _FIELDS.items():
        present = getattr(item, field) is not None
        alias = type(item).model_fields[field].alias or field
        if present != (kind == item.type):
            verb = "needs" if kind == item.type else "has no"
            yield Problem(f"a {item.type} {verb} {alias}", path, "make the type and the field agree")
            return
    yield from _header_modifier(item.request_header_modifier, (*path, "requestHeaderModifier"))
    yield from _header_modifier(item.response_header_modifier, (*path, "responseHeaderModifier"))
    yield from _mirror(item.request_mirror, (*path, "requestMirror"))
    if item.request_redirect is not None:
        at: Path = (*path, "requestRedirect")
        yield from _new_hostname(item.request_redirect.hostname, (*at, "hostname"))
        yield from _path_modifier(item.request_redirect.path, rule, (*at, "path"))
        if item.request_redirect.port is not None:
            yield from values.port(item.request_redirect.port, (*at, "port"))
    if item.url_rewrite is not None:
        at = (*path, "urlRewrite")
        yield from _new_hostname(item.url_rewrite.hostname, (*at, "hostname"))
        yield from _path_modifier(item.url_rewrite.path, rule, (*at, "path"))


def _header_modifier(modifier: HeaderModifier | None, path: Path) -> Iterator[Problem]:
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
                yield Problem("a modifier cannot change host", (*path, field, index), "use URLRewrite's hostname")
            if name.lower() in lower[:index]:
                yield Problem(
                    f"{name} is there twice, and only the first would count", (*path, field, index), "keep one"
                )


def _header_name(name: str, path: Path) -> Iterator[Problem]:
    if not _HEADER.fullmatch(name):
        yield Problem(f"{name!r} is not a header's name", path, "write one like end-user")


def _mirror(mirror: RequestMirror | None, path: Path) -> Iterator[Problem]:
    if mirror is None:
        return
    yield from _reference(mirror.backend_ref, (*path, "backendRef"))
    if mirror.percent is not None and mirror.fraction is not None:
        yield Problem("percent and fraction exclude each other", path, "keep one")
    if mirror.percent is not None:
        yield from values.within(mirror.percent, 0, 100, (*path, "percent"))
    if mirror.fraction is not None:
        yield from values.within(mirror.fraction.denominator, 1, 2**31 - 1, (*path, "fraction", "denominator"))
        yield from values.within(
            mirror.fraction.numerator, 0, mirror.fraction.denominator, (*path, "fraction", "numerator")
        )


def _new_hostname(hostname: str | None, path: Path) -> Iterator[Problem]:
    if hostname is not None:
        yield from _hostname(hostname, path)
        if hostname.startswith("*"):
            yield Problem("a request goes to one host", path, "write it without *")


def _path_modifier(modifier: PathModifier | None, rule: RouteRule, path: Path) -> Iterator[Problem]:
    if modifier is None:
        return
    prefix = modifier.type == "ReplacePrefixMatch"
    if (modifier.replace_prefix_match is not None, modifier.replace_full_path is not None) != (prefix, not prefix):
        field = "replacePrefixMatch" if prefix else "replaceFullPath"
        yield Problem(f"a {modifier.type} needs {field} alone", path, "make the type and the field agree")
    if prefix and [match.path.type for match in rule.tried] != ["PathPrefix"]:
        yield Problem("ReplacePrefixMatch needs exactly one match, by PathPrefix", path, "make a rule for each match")


# References


def _backend(backend: BackendReference, path: Path) -> Iterator[Problem]:
    yield from _reference(backend, path)
    yield from values.within(backend.weight, 0, MOST_WEIGHT, (*path, "weight"))
    for index, item in enumerate(backend.filters):
        at: Path = (*path, "filters", index)
        if item.type not in ("RequestHeaderModifier", "ResponseHeaderModifier"):
            yield Problem(f"the lab implements no {item.type} for one backend", at, "put it on the rule")
        else:
            yield from _filter(item, RouteRule(), at)


def _reference(backend: BackendObject, path: Path) -> Iterator[Problem]:
    if (backend.group, backend.kind) != ("", "Service"):
        yield Problem(f"the lab's routes lead to no {backend.kind}", (*path, "kind"), "name a Service")
    if backend.port is None:
        yield Problem("a Service's port is missing", path, "add port")
    else:
        yield from values.port(backend.port, (*path, "port"))


def _hostname(hostname: str, path: Path) -> Iterator[Problem]:
    if not _HOSTNAME.fullmatch(hostname) or _ADDRESS.fullmatch(hostname):
        yield Problem(f"{hostname!r} is not a hostname", path, "write one like shop.example or *.example")


def reference_grant(spec: ReferenceGrantSpec) -> Iterator[Problem]:
    """A ReferenceGrant."""
    yield from values.not_empty(spec.from_, ("from",))
    yield from values.not_empty(spec.to, ("to",))
    for index, origin in enumerate(spec.from_):
        if (origin.group, origin.kind) != (GROUP, "HTTPRoute"):
            yield Problem(f"in the lab no {origin.kind} needs a grant", ("from", index), f"it can be {GROUP} HTTPRoute")
    for index, target in enumerate(spec.to):
        if (target.group, target.kind) != ("", "Service"):
            yield Problem(f"in the lab no {target.kind} needs a grant", ("to", index), "it can be Service")
