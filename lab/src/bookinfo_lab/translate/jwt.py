"""RequestAuthentication as Envoy's JWT filter.

Its configuration travels by ECDS, the one way by which a filter's own configuration reaches open connections (a route
can only choose among what the filter already has). Istio: PolicyApplier.JwtFilter,
pilot/pkg/security/authn/policy_applier.go.
"""

from collections.abc import Sequence
from typing import Any

from bookinfo_lab.resources.model.rules import Rules
from bookinfo_lab.resources.model.security import JWTRule
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate import xds
from bookinfo_lab.translate.mesh import holds_for

Json = dict[str, Any]

JWT_FILTER = "envoy.filters.http.jwt_authn"

PAYLOAD = "payload"
"""Under which name a verified token's claims are left for authorization."""

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


def jwt_filter() -> Json:
    """The filter, whose configuration is a file of its own."""
    return {
        "name": JWT_FILTER,
        "config_discovery": {"config_source": xds.source(xds.extension_file(JWT_FILTER)), "type_urls": [_TYPE]},
    }


def jwt_rules(rules: Rules, proxy: Proxy) -> list[JWTRule]:
    """What holds for `proxy`, from every RequestAuthentication that is for it."""
    return [jwt for rule in rules.request_authentications if holds_for(rule, proxy) for jwt in rule.spec.jwt_rules]


def filter_config(jwts: Sequence[JWTRule]) -> Json:
    """The filter's configuration. A request without a token passes: to want one is authorization's matter."""
    if not jwts:
        return {"@type": _TYPE}
    names = [f"origins-{index}" for index in range(len(jwts))]
    optional = [{"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing": {}}]}} for name in names]
    requirement = optional[0]
    if len(jwts) > 1:
        each = [{"provider_name": name} for name in names]
        requirement = {"requires_any": {"requirements": [*each, {"requires_all": {"requirements": optional}}]}}
    return {
        "@type": _TYPE,
        "providers": {name: _provider(jwt) for name, jwt in zip(names, jwts, strict=True)},
        "rules": [{"match": {"prefix": "/"}, "requires": requirement}],
        "bypass_cors_preflight": True,
    }


def _provider(jwt: JWTRule) -> Json:
    rendered: Json = {
        "issuer": jwt.issuer,
        "local_jwks": {"inline_string": jwt.jwks},
        "payload_in_metadata": PAYLOAD,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]},
        "forward": jwt.forward_original_token,
    }
    if jwt.audiences:
        rendered["audiences"] = list(jwt.audiences)
    if jwt.from_headers:
        rendered["from_headers"] = [
            {"name": header.name, **({"value_prefix": header.prefix} if header.prefix else {})}
            for header in jwt.from_headers
        ]
    if jwt.from_params:
        rendered["from_params"] = list(jwt.from_params)
    if jwt.from_cookies:
        rendered["from_cookies"] = list(jwt.from_cookies)
    if jwt.output_payload_to_header:
        rendered["forward_payload_header"] = jwt.output_payload_to_header
    if jwt.output_claim_to_headers:
        rendered["claim_to_headers"] = [
            {"header_name": item.header, "claim_name": item.claim} for item in jwt.output_claim_to_headers
        ]
    return rendered
