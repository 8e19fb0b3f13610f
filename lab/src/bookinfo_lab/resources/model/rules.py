"""All applied objects of Istio and of the Gateway API, parsed and validated."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from bookinfo_lab.errors import listed, manifest_errors
from bookinfo_lab.resources import pydantic_errors, schema
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.model import gateway_api
from bookinfo_lab.resources.model.base import Spec
from bookinfo_lab.resources.model.networking import (
    DestinationRuleSpec,
    GatewaySpec,
    ServiceEntrySpec,
    SidecarSpec,
    VirtualServiceSpec,
)
from bookinfo_lab.resources.model.security import (
    AuthorizationPolicySpec,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
)
from bookinfo_lab.resources.model.telemetry import EnvoyFilterSpec, TelemetrySpec
from bookinfo_lab.resources.model.validation import problems

KINDS: Mapping[str, type[Spec]] = {
    "networking.istio.io/Gateway": GatewaySpec,
    "networking.istio.io/VirtualService": VirtualServiceSpec,
    "networking.istio.io/DestinationRule": DestinationRuleSpec,
    "networking.istio.io/ServiceEntry": ServiceEntrySpec,
    "networking.istio.io/Sidecar": SidecarSpec,
    "networking.istio.io/EnvoyFilter": EnvoyFilterSpec,
    "security.istio.io/PeerAuthentication": PeerAuthenticationSpec,
    "security.istio.io/RequestAuthentication": RequestAuthenticationSpec,
    "security.istio.io/AuthorizationPolicy": AuthorizationPolicySpec,
    "telemetry.istio.io/Telemetry": TelemetrySpec,
    f"{gateway_api.GROUP}/Gateway": gateway_api.GatewaySpec,
    f"{gateway_api.GROUP}/HTTPRoute": gateway_api.HTTPRouteSpec,
    f"{gateway_api.GROUP}/ReferenceGrant": gateway_api.ReferenceGrantSpec,
}
"""The kinds that the lab implements, by group."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LONGEST_NAME = 253

SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)
_SpecT = TypeVar("_SpecT", bound=Spec)


@dataclass(frozen=True)
class Rule(Generic[SpecT_co]):
    """One object: its identity and its typed specification."""

    name: str
    namespace: str
    spec: SpecT_co
    document: Document

    def __str__(self) -> str:
        return f"{self.document.kind} {self.name}"


@dataclass(frozen=True)
class Rules:
    """Every applied object, in the order in which it was applied."""

    gateways: tuple[Rule[GatewaySpec], ...] = ()
    virtual_services: tuple[Rule[VirtualServiceSpec], ...] = ()
    destination_rules: tuple[Rule[DestinationRuleSpec], ...] = ()
    service_entries: tuple[Rule[ServiceEntrySpec], ...] = ()
    sidecars: tuple[Rule[SidecarSpec], ...] = ()
    envoy_filters: tuple[Rule[EnvoyFilterSpec], ...] = ()
    peer_authentications: tuple[Rule[PeerAuthenticationSpec], ...] = ()
    request_authentications: tuple[Rule[RequestAuthenticationSpec], ...] = ()
    authorization_policies: tuple[Rule[AuthorizationPolicySpec], ...] = ()
    telemetries: tuple[Rule[TelemetrySpec], ...] = ()
    api_gateways: tuple[Rule[gateway_api.GatewaySpec], ...] = ()  # the Gateway API's
    http_routes: tuple[Rule[gateway_api.HTTPRouteSpec], ...] = ()
    reference_grants: tuple[Rule[gateway_api.ReferenceGrantSpec], ...] = ()

    @classmethod
    def parse(cls, documents: Iterable[Document]) -> "Rules":
        """Return `documents` parsed and validated. Raises ManifestError for the first error."""
        rules = [_parse(document) for document in documents]
        _reject_duplicates(rules)
        return cls(
            gateways=_of(rules, GatewaySpec),
            virtual_services=_of(rules, VirtualServiceSpec),
            destination_rules=_of(rules, DestinationRuleSpec),
            service_entries=_of(rules, ServiceEntrySpec),
            sidecars=_of(rules, SidecarSpec),
            envoy_filters=_of(rules, EnvoyFilterSpec),
            peer_authentications=_of(rules, PeerAuthenticationSpec),
            request_authentications=_of(rules, RequestAuthenticationSpec),
            authorization_policies=_of(rules, AuthorizationPolicySpec),
            telemetries=_of(rules, TelemetrySpec),
            api_gateways=_of(rules, gateway_api.GatewaySpec),
            http_routes=_of(rules, gateway_api.HTTPRouteSpec),
            reference_grants=_of(rules, gateway_api.ReferenceGrantSpec),
        )


def _of(rules: Iterable[Rule[Spec]], spec_type: type[_SpecT]) -> tuple[Rule[_SpecT], ...]:
    return tuple(
        Rule(rule.name, rule.namespace, rule.spec, rule.document) for rule in rules if isinstance(rule.spec, spec_type)
    )


def _parse(document: Document) -> Rule[Spec]:
    schema.check(document)
    _check_identity(document)
    spec_type = KINDS.get(f"{document.group}/{document.kind}")
    if spec_type is None:
        supported = listed(sorted(kind.partition("/")[2] for kind in KINDS if kind.startswith(f"{document.group}/")))
        fix = f"remove it: the lab implements {supported}" if supported else "remove it"
        raise document.error(manifest_errors.unsupported_kind(document.api_version, document.kind, fix), ("kind",))
    try:
        # Through JSON, because strict validation of Python values rejects a list for a tuple.
        spec = spec_type.model_validate_json(json.dumps(document.body.get("spec", {})))
    except ValidationError as error:
        message, path = pydantic_errors.first_error(error)
        raise document.error(message, ("spec", *path)) from None
    for problem in problems(spec):
        raise document.error(problem.message, ("spec", *problem.path))
    return Rule(document.name, document.namespace, spec, document)


def _check_identity(document: Document) -> None:
    """Raise ManifestError unless the name is a DNS subdomain and the namespace a DNS label (RFC 1123)."""
    if not _SUBDOMAIN.fullmatch(document.name) or len(document.name) > _LONGEST_NAME:
        rule = (
            f"use up to {_LONGEST_NAME} of a-z, 0-9, - and ., with a letter or digit at each end and next to each dot"
        )
        raise document.error(manifest_errors.invalid_name(document.name, rule), ("metadata", "name"))
    if not _LABEL.fullmatch(document.namespace):
        raise document.error(manifest_errors.invalid_namespace(document.namespace), ("metadata", "namespace"))


def _reject_duplicates(rules: Iterable[Rule[Spec]]) -> None:
    seen: dict[tuple[str, str, str, str], Document] = {}
    for rule in rules:
        key = (rule.document.group, rule.document.kind, rule.namespace, rule.name)
        if key in seen:
            raise rule.document.error(manifest_errors.duplicate_object(seen[key].location), ("metadata", "name"))
        seen[key] = rule.document
