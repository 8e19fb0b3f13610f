"""Conflicts between rules. Where Istio would silently choose one of two rules, the lab rejects and names both."""

from collections.abc import Iterator, Mapping

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import SidecarSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.security import PeerAuthenticationSpec
from bookinfo_lab.translate import virtual_services
from bookinfo_lab.translate.names import MESH_GATEWAY, full_host
from bookinfo_lab.translate.selection import selector_labels, selects
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.virtual_services import VirtualService


def reject_conflicts(mesh: MeshSnapshot) -> None:
    """Raise ManifestError for two rules for the same hosts or workloads that cannot both apply."""
    _reject_virtual_services_for_one_host(mesh.rules)
    _reject_destination_rules_for_one_host(mesh.rules)
    _reject_service_entries_for_one_host(mesh)
    _reject_policies_for_one_workload(mesh)


def _reject_virtual_services_for_one_host(rules: Rules) -> None:
    first_by_host: dict[str, VirtualService] = {}
    for rule in rules.virtual_services:
        for index, host in enumerate(virtual_services.hosts(rule) if MESH_GATEWAY in rule.spec.gateways else []):
            first = first_by_host.setdefault(host, rule)
            if first is not rule:
                raise rule.document.error(
                    manifest_errors.host_already_routed(str(first), host), ("spec", "hosts", index)
                )


def _reject_destination_rules_for_one_host(rules: Rules) -> None:
    first_by_target: dict[tuple[str, str, str], str] = {}
    for rule in rules.destination_rules:
        host = full_host(rule.spec.host, rule.namespace)
        first = first_by_target.setdefault((rule.namespace, host, repr(rule.spec.workload_selector)), rule.name)
        if first != rule.name:
            raise rule.document.error(
                manifest_errors.host_already_configured(f"DestinationRule {first}", host), ("spec", "host")
            )


def _reject_service_entries_for_one_host(mesh: MeshSnapshot) -> None:
    first_by_host: dict[str, str] = {}
    for rule in mesh.rules.service_entries:
        services = {
            name: f"Service {service.name}"
            for service in mesh.topology.services
            for name in service.dns_names(rule.namespace)
        }
        for index, host in enumerate(rule.spec.hosts):
            first = services.get(host) or first_by_host.get(host)
            if first:
                raise rule.document.error(manifest_errors.host_already_defined(first, host), ("spec", "hosts", index))
            first_by_host[host] = str(rule)


def _reject_policies_for_one_workload(mesh: MeshSnapshot) -> None:
    """Reject two PeerAuthentications or two Sidecars with the same scope: a workload uses only one of each."""
    first_by_scope: dict[tuple[str, str, str], str] = {}
    rules: tuple[Rule[PeerAuthenticationSpec] | Rule[SidecarSpec], ...]
    rules = (*mesh.rules.peer_authentications, *mesh.rules.sidecars)
    for rule in rules:
        for scope in _scopes(mesh, rule.namespace, selector_labels(rule.spec)):
            first = first_by_scope.setdefault((rule.document.kind, rule.namespace, scope), rule.name)
            if first != rule.name:
                raise rule.document.error(
                    manifest_errors.workload_already_selected(f"{rule.document.kind} {first}", scope), ("spec",)
                )


def _scopes(mesh: MeshSnapshot, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
    """Yield what a rule with this selector applies to: the whole namespace, or each workload by name."""
    if not labels:
        yield f"namespace {namespace}"
        return
    for workload in mesh.topology.workloads:
        if workload.namespace == namespace and selects(labels, workload):
            yield f"workload {workload.name}"
