"""`security.istio.io/v1`: what the lab implements of PeerAuthentication, RequestAuthentication, AuthorizationPolicy.

Fields and defaults: https://istio.io/latest/docs/reference/config/security/.
"""

# ruff: noqa: RUF012  # pydantic copies a default for each object

from typing import Literal

from pydantic import Field

from bookinfo_lab.resources.model.base import PolicySelector, Spec

# PeerAuthentication

MutualTLSMode = Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]


class MutualTLS(Spec):
    mode: MutualTLSMode = "UNSET"


class PeerAuthenticationSpec(Spec):
    selector: PolicySelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[str, MutualTLS] = {}


# What both of the others may hold for, in place of a selector


class TargetReference(Spec):
    group: str = ""
    kind: str
    name: str
    namespace: str = ""


# RequestAuthentication


class JWTHeader(Spec):
    name: str
    prefix: str = ""


class ClaimToHeader(Spec):
    header: str
    claim: str


class JWTRule(Spec):
    issuer: str
    audiences: tuple[str, ...] = ()
    jwks: str | None = None
    from_headers: tuple[JWTHeader, ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    output_payload_to_header: str | None = None
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    forward_original_token: bool = False


class RequestAuthenticationSpec(Spec):
    selector: PolicySelector | None = None
    target_refs: tuple[TargetReference, ...] = ()
    jwt_rules: tuple[JWTRule, ...] = ()


# AuthorizationPolicy


class Source(Spec):
    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    not_service_accounts: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


class Operation(Spec):
    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class RuleFrom(Spec):
    source: Source


class RuleTo(Spec):
    operation: Operation


class Condition(Spec):
    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class AuthorizationRule(Spec):
    from_: tuple[RuleFrom, ...] = Field(default=(), alias="from")
    to: tuple[RuleTo, ...] = ()
    when: tuple[Condition, ...] = ()


class AuthorizationPolicySpec(Spec):
    selector: PolicySelector | None = None
    target_refs: tuple[TargetReference, ...] = ()
    action: Literal["ALLOW", "DENY"] = "ALLOW"
    rules: tuple[AuthorizationRule, ...] | None = None
