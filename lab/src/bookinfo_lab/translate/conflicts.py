"""What must not be between objects: where Istio would silently choose, the lab refuses and names both."""

from collections.abc import Iterator, Mapping

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import SidecarSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.security import PeerAuthenticationSpec
from bookinfo_lab.translate import virtual_services
from bookinfo_lab.translate.mesh import Mesh, selects
from bookinfo_lab.translate.names import MESH, full_host


def refuse_conflicts(mesh: Mesh) -> None:
    """Raise ManifestError for two rules that are for the same hosts or workloads, which cannot both hold."""
    _refuse_two_routings(mesh.rules)
    _refuse_two_policies(mesh.rules)
    _refuse_two_entries(mesh)
    _refuse_two_scopes(mesh)


def _refuse_two_routings(rules: Rules) -> None:
    routed: dict[str, virtual_services.VirtualService] = {}
    for rule in rules.virtual_services:
        for index, host in enumerate(virtual_services.hosts(rule) if MESH in rule.spec.gateways else []):
            first = routed.setdefault(host, rule)
            if first is not rule:
                raise rule.document.error(
                    manifest_errors.host_already_routed(str(first), host), ("spec", "hosts", index)
                )


def _refuse_two_policies(rules: Rules) -> None:
    targeted: dict[tuple[str, str, str], str] = {}
    for item in rules.destination_rules:
        host = full_host(item.spec.host, item.namespace)
        first_name = targeted.setdefault((item.namespace, host, repr(item.spec.workload_selector)), item.name)
        if first_name != item.name:
            raise item.document.error(
                manifest_errors.host_already_configured(f"DestinationRule {first_name}", host), ("spec", "host")
            )


def _refuse_two_entries(mesh: Mesh) -> None:
    entries: dict[str, str] = {}
    for rule in mesh.rules.service_entries:
        services = {
            name: f"Service {service.name}"
            for service in mesh.topology.services
            for name in service.dns_names(rule.namespace)
        }
        for index, host in enumerate(rule.spec.hosts):
            first = services.get(host) or entries.get(host)
            if first:
                raise rule.document.error(manifest_errors.host_already_defined(first, host), ("spec", "hosts", index))
            entries[host] = str(rule)


def _refuse_two_scopes(mesh: Mesh) -> None:
    scoped: dict[tuple[str, str, str], str] = {}
    rules: tuple[Rule[PeerAuthenticationSpec] | Rule[SidecarSpec], ...]
    rules = (*mesh.rules.peer_authentications, *mesh.rules.sidecars)
    for rule in rules:
        for scope in _scopes(mesh, rule.namespace, _selected(rule.spec)):
            first = scoped.setdefault((rule.document.kind, rule.namespace, scope), rule.name)
            if first != rule.name:
                raise rule.document.error(
                    manifest_errors.workload_already_selected(f"{rule.document.kind} {first}", scope), ("spec",)
                )


def _selected(spec: PeerAuthenticationSpec | SidecarSpec) -> Mapping[str, str]:
    if isinstance(spec, SidecarSpec):
        return spec.workload_selector.labels if spec.workload_selector else {}
    return spec.selector.match_labels if spec.selector else {}


def _scopes(mesh: Mesh, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
    """What a rule with these labels is for: the whole namespace, or workloads by name."""
    if not labels:
        yield f"namespace {namespace}"
        return
    for workload in mesh.topology.workloads:
        if workload.namespace == namespace and selects(labels, workload):
            yield f"workload {workload.name}"
