"""Which rules and policies apply to a proxy. Every kind decides it here: by selector, target, namespace and export."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from bookinfo_lab.resources import topology
from bookinfo_lab.resources.model.networking import SidecarSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.security import (
    AuthorizationPolicySpec,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
)
from bookinfo_lab.resources.model.telemetry import EnvoyFilterSpec, TelemetrySpec
from bookinfo_lab.resources.topology import Gateway, Proxy
from bookinfo_lab.translate.names import ROOT_NAMESPACE

TargetingSpec = AuthorizationPolicySpec | RequestAuthenticationSpec
"""A policy that has `targetRefs` or a selector."""

SelectingSpec = TargetingSpec | PeerAuthenticationSpec | TelemetrySpec | SidecarSpec | EnvoyFilterSpec
"""A rule or policy that selects workloads by their labels."""

_SpecT = TypeVar("_SpecT", bound=PeerAuthenticationSpec | TelemetrySpec | SidecarSpec)


def selects(selector: Mapping[str, str], proxy: Proxy) -> bool:
    """Return whether `proxy` has every label of `selector`. An empty selector selects every proxy."""
    return topology.selects(selector, proxy.labels)


def selector_labels(spec: SelectingSpec) -> Mapping[str, str]:
    """Return the labels that `spec` selects. A selector without labels is the same as no selector: both select all."""
    if isinstance(spec, SidecarSpec | EnvoyFilterSpec):
        return spec.workload_selector.labels if spec.workload_selector else {}
    return spec.selector.match_labels if spec.selector else {}


def applies_to(rule: Rule[TargetingSpec] | Rule[EnvoyFilterSpec], proxy: Proxy) -> bool:
    """Return whether a policy applies to `proxy`: by its `targetRefs` if it has any, else by namespace and selector.

    A policy of the root namespace selects workloads of every namespace. Istio: PolicyMatcher,
    pilot/pkg/model/policyattachment.go.
    """
    if isinstance(rule.spec, TargetingSpec) and rule.spec.target_refs:
        targets = [(rule.namespace, target.name) for target in rule.spec.target_refs]
        return isinstance(proxy, Gateway) and (proxy.namespace, proxy.resource) in targets
    return rule.namespace in (proxy.namespace, ROOT_NAMESPACE) and selects(selector_labels(rule.spec), proxy)


def from_most_specific(rules: Iterable[Rule[_SpecT]], proxy: Proxy) -> list[Rule[_SpecT]]:
    """Return the rules that apply to `proxy`: for the workload itself, then for its namespace, then for the mesh.

    A selector selects workloads only in the namespace of its rule. Istio: ComposePeerAuthentication,
    pilot/pkg/security/authn/policy_applier.go, and Telemetries.applicableTelemetries, pilot/pkg/model/telemetry.go.
    """
    workload: list[Rule[_SpecT]] = []
    namespace: list[Rule[_SpecT]] = []
    mesh: list[Rule[_SpecT]] = []
    for rule in rules:
        labels = selector_labels(rule.spec)
        if labels and rule.namespace == proxy.namespace and selects(labels, proxy):
            workload.append(rule)
        elif not labels and rule.namespace == proxy.namespace:
            namespace.append(rule)
        elif not labels and rule.namespace == ROOT_NAMESPACE:
            mesh.append(rule)
    return workload + namespace + mesh


def is_exported_to(namespace: str, export_to: Iterable[str], owner: str) -> bool:
    """Return whether an object of namespace `owner` is exported to `namespace`."""
    return any(scope in ("*", namespace) or (scope == "." and owner == namespace) for scope in export_to)
