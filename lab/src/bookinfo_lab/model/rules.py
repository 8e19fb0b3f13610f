"""All Istio objects that are applied, parsed and checked."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from bookinfo_lab.documents import Document, ManifestError
from bookinfo_lab.model.base import Spec
from bookinfo_lab.model.networking import (
    DestinationRuleSpec,
    GatewaySpec,
    ServiceEntrySpec,
    SidecarSpec,
    VirtualServiceSpec,
)

SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)

_NETWORKING = "networking.istio.io"
_SPECS: Mapping[tuple[str, str], type[Spec]] = {
    (_NETWORKING, "Gateway"): GatewaySpec,
    (_NETWORKING, "VirtualService"): VirtualServiceSpec,
    (_NETWORKING, "DestinationRule"): DestinationRuleSpec,
    (_NETWORKING, "ServiceEntry"): ServiceEntrySpec,
    (_NETWORKING, "Sidecar"): SidecarSpec,
}


@dataclass(frozen=True)
class Rule(Generic[SpecT_co]):
    """One Istio object: its identity and its typed specification."""

    name: str
    namespace: str
    spec: SpecT_co
    document: Document


@dataclass(frozen=True)
class Rules:
    """Every Istio object that is applied, in the order in which it was."""

    gateways: tuple[Rule[GatewaySpec], ...] = ()
    virtual_services: tuple[Rule[VirtualServiceSpec], ...] = ()
    destination_rules: tuple[Rule[DestinationRuleSpec], ...] = ()
    service_entries: tuple[Rule[ServiceEntrySpec], ...] = ()
    sidecars: tuple[Rule[SidecarSpec], ...] = ()

    @classmethod
    def parse(cls, documents: Iterable[Document]) -> "Rules":
        """Type and check `documents`; ManifestError tells the first thing that is wrong."""
        rules = [_parse(document) for document in documents]
        return cls(
            gateways=_of(rules, GatewaySpec),
            virtual_services=_of(rules, VirtualServiceSpec),
            destination_rules=_of(rules, DestinationRuleSpec),
            service_entries=_of(rules, ServiceEntrySpec),
            sidecars=_of(rules, SidecarSpec),
        )


_SpecT = TypeVar("_SpecT", bound=Spec)


def _of(rules: Iterable[Rule[Spec]], spec_type: type[_SpecT]) -> tuple[Rule[_SpecT], ...]:
    return tuple(
        Rule(rule.name, rule.namespace, rule.spec, rule.document) for rule in rules if isinstance(rule.spec, spec_type)
    )


def _parse(document: Document) -> Rule[Spec]:
    group = document.api_version.partition("/")[0]
    spec_type = _SPECS.get((group, document.kind))
    if spec_type is None:
        known = ", ".join(sorted(kind for _, kind in _SPECS))
        raise document.error(
            f"the lab does not know {document.kind} of {document.api_version}", ("kind",), f"it implements {known}"
        )
    try:
        # By way of JSON, because strict validation of Python values would refuse a list where a tuple is meant.
        spec = spec_type.model_validate_json(json.dumps(document.body.get("spec", {})))
    except ValidationError as error:
        raise _explained(document, error) from None
    return Rule(document.name, document.namespace, spec, document)


def _explained(document: Document, error: ValidationError) -> ManifestError:
    first = error.errors()[0]
    path = ("spec", *first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return document.error(f"the lab does not implement {path[-1]}", path, "take it out, or use a cluster")
        case "missing":
            return document.error(f"{path[-1]} is missing", path[:-1], f"add {path[-1]}")
        case _:
            return document.error(first["msg"].removeprefix("Value error, "), path)
