"""`gateway.networking.k8s.io`: the supported fields of Gateway, HTTPRoute and ReferenceGrant (standard channel).

Fields and defaults: https://gateway-api.sigs.k8s.io/reference/spec/. Fields of the experimental
channel, such as `retry`, are unsupported.
"""

# ruff: noqa: RUF012  # pydantic copies a default for each object

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model.base import Spec, parse_duration
from bookinfo_lab.resources.pydantic_errors import InvalidValueError

GROUP = "gateway.networking.k8s.io"

CLASS = "istio"
"""The GatewayClass that Istio installs."""


def parse_gep_2257(text: Any) -> float:
    """Return the seconds of a duration of GEP-2257: up to four whole numbers with the units `h`, `m`, `s` or `ms`.

    Raises:
        InvalidValueError: the text has another format, such as `0.5s`.
    """
    if not isinstance(text, str) or not re.fullmatch(r"(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}", text):
        raise InvalidValueError(manifest_errors.invalid_gateway_api_duration(text))
    return parse_duration(text)


Seconds = Annotated[float, BeforeValidator(parse_gep_2257)]
"""A duration, in seconds. 0 means no limit."""


# Gateway


class RouteKind(Spec):
    group: str = GROUP
    kind: str


class RouteNamespaces(Spec):
    from_: Literal["Same", "All", "None"] = Field(default="Same", alias="from")


class AllowedRoutes(Spec):
    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: tuple[RouteKind, ...] = ()


class SecretReference(Spec):
    group: str = ""
    kind: str = "Secret"
    name: str
    namespace: str = ""  # the Gateway's own


class ListenerTLS(Spec):
    mode: Literal["Terminate"] = "Terminate"
    certificate_refs: tuple[SecretReference, ...] = ()


class Listener(Spec):
    name: str
    port: int
    protocol: str
    hostname: str = ""  # every host
    tls: ListenerTLS | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()


class Infrastructure(Spec):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class GatewaySpec(Spec):
    gateway_class_name: str
    listeners: tuple[Listener, ...]
    infrastructure: Infrastructure = Infrastructure()


# HTTPRoute


class ParentReference(Spec):
    group: str = GROUP
    kind: str = "Gateway"
    name: str
    namespace: str = ""  # the route's own
    section_name: str = ""
    port: int | None = None


class PathMatch(Spec):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: str = "/"


class ValueMatch(Spec):
    """A header, or a query parameter."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: str
    value: str


class RouteMatch(Spec):
    path: PathMatch = PathMatch()
    headers: tuple[ValueMatch, ...] = ()
    query_params: tuple[ValueMatch, ...] = ()
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] | None = None


class NameValue(Spec):
    name: str
    value: str


class HeaderModifier(Spec):
    set: tuple[NameValue, ...] = ()
    add: tuple[NameValue, ...] = ()
    remove: tuple[str, ...] = ()


class BackendObject(Spec):
    group: str = ""
    kind: str = "Service"
    name: str
    namespace: str = ""  # the route's own
    port: int | None = None


class Fraction(Spec):
    numerator: int
    denominator: int = 100


class RequestMirror(Spec):
    backend_ref: BackendObject
    percent: int | None = None
    fraction: Fraction | None = None


class PathModifier(Spec):
    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


class RequestRedirect(Spec):
    scheme: Literal["http", "https"] | None = None
    hostname: str | None = None
    path: PathModifier | None = None
    port: int | None = None
    status_code: Literal[301, 302, 303, 307, 308] = 302


class URLRewrite(Spec):
    hostname: str | None = None
    path: PathModifier | None = None


class RouteFilter(Spec):
    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite"]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: RequestMirror | None = None
    request_redirect: RequestRedirect | None = None
    url_rewrite: URLRewrite | None = None


class BackendReference(BackendObject):
    weight: int = 1
    filters: tuple[RouteFilter, ...] = ()


class RouteTimeouts(Spec):
    request: Seconds | None = None
    backend_request: Seconds | None = None


class RouteRule(Spec):
    name: str | None = None
    matches: tuple[RouteMatch, ...] = ()
    filters: tuple[RouteFilter, ...] = ()
    backend_refs: tuple[BackendReference, ...] = ()
    timeouts: RouteTimeouts = RouteTimeouts()

    @property
    def tried(self) -> tuple[RouteMatch, ...]:
        """The matches, or the one that matches every request if the rule has none."""
        return self.matches or (RouteMatch(),)


class HTTPRouteSpec(Spec):
    parent_refs: tuple[ParentReference, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[RouteRule, ...] = (RouteRule(),)


# ReferenceGrant


class GrantFrom(Spec):
    group: str
    kind: str
    namespace: str


class GrantTo(Spec):
    group: str
    kind: str
    name: str | None = None  # any name


class ReferenceGrantSpec(Spec):
    from_: tuple[GrantFrom, ...] = Field(alias="from")
    to: tuple[GrantTo, ...]
