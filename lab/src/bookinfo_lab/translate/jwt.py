"""RequestAuthentication as Envoy's JWT filter.

ECDS delivers the configuration of the filter, because only ECDS changes it for open connections: a route can only
choose among the requirements that the filter already has. Istio: PolicyApplier.JwtFilter,
pilot/pkg/security/authn/policy_applier.go.
"""

from collections.abc import Sequence
from typing import Any

from bookinfo_lab.resources.model.rules import Rules
from bookinfo_lab.resources.model.security import JWTRule
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate import xds
from bookinfo_lab.translate.selection import applies_to

Json = dict[str, Any]

JWT_FILTER = "envoy.filters.http.jwt_authn"

PAYLOAD = "payload"
"""The metadata key under which the filter stores the claims of a verified token for authorization."""

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


def jwt_filter() -> Json:
    """Return the filter, which reads its configuration from its own file."""
    return {
        "name": JWT_FILTER,
        "config_discovery": {"config_source": xds.config_source(xds.extension_file(JWT_FILTER)), "type_urls": [_TYPE]},
    }


def jwt_rules(rules: Rules, proxy: Proxy) -> list[JWTRule]:
    """Return the JWT rules of every RequestAuthentication that applies to `proxy`."""
    return [jwt for rule in rules.request_authentications if applies_to(rule, proxy) for jwt in rule.spec.jwt_rules]


def filter_config(jwt_rules: Sequence[JWTRule]) -> Json:
    """Return the configuration of the filter. It accepts a request without a token: authorization can require one."""
    if not jwt_rules:
        return {"@type": _TYPE}
    names = [f"origins-{index}" for index in range(len(jwt_rules))]
    optional = [{"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing": {}}]}} for name in names]
    requirement = optional[0]
    if len(jwt_rules) > 1:
        each = [{"provider_name": name} for name in names]
        requirement = {"requires_any": {"requirements": [*each, {"requires_all": {"requirements": optional}}]}}
    return {
        "@type": _TYPE,
        "providers": {name: _provider(jwt) for name, jwt in zip(names, jwt_rules, strict=True)},
        "rules": [{"match": {"prefix": "/"}, "requires": requirement}],
        "bypass_cors_preflight": True,
    }


def _provider(jwt: JWTRule) -> Json:
    provider: Json = {
        "issuer": jwt.issuer,
        "local_jwks": {"inline_string": jwt.jwks},
        "payload_in_metadata": PAYLOAD,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]},
        "forward": jwt.forward_original_token,
    }
    if jwt.audiences:
        provider["audiences"] = list(jwt.audiences)
    if jwt.from_headers:
        provider["from_headers"] = [
            {"name": header.name, **({"value_prefix": header.prefix} if header.prefix else {})}
            for header in jwt.from_headers
        ]
    if jwt.from_params:
        provider["from_params"] = list(jwt.from_params)
    if jwt.from_cookies:
        provider["from_cookies"] = list(jwt.from_cookies)
    if jwt.output_payload_to_header:
        provider["forward_payload_header"] = jwt.output_payload_to_header
    if jwt.output_claim_to_headers:
        provider["claim_to_headers"] = [
            {"header_name": item.header, "claim_name": item.claim} for item in jwt.output_claim_to_headers
        ]
    return provider
