"""Sidecar: which hosts a workload can call, and what happens to calls to other hosts.

Istio: pilot/pkg/model/sidecar.go.
"""

from collections.abc import Iterable

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import SidecarSpec
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate import virtual_services
from bookinfo_lab.translate.names import host_matches
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.selection import from_most_specific, is_exported_to
from bookinfo_lab.translate.snapshot import MeshSnapshot

ALLOW_UNKNOWN_HOSTS = False
"""The default outbound traffic policy: REGISTRY_ONLY.

Istio's own default is ALLOW_ANY (MeshConfig.outboundTrafficPolicy). A lab has no mesh configuration, and in a classroom
a page should not call hosts on the internet without permission. A Sidecar with ALLOW_ANY gives the permission.
"""


def allows_unknown_hosts(rules: Rules, workload: Workload) -> bool:
    """Return whether `workload` can call hosts that are not in the registry."""
    sidecar = _sidecar(rules, workload)
    if sidecar is None or sidecar.outbound_traffic_policy is None:
        return ALLOW_UNKNOWN_HOSTS
    return sidecar.outbound_traffic_policy.mode == "ALLOW_ANY"


def callable_hosts(mesh: MeshSnapshot, workload: Workload) -> list[Host]:
    """Return the hosts that `workload` can call."""
    sidecar = _sidecar(mesh.rules, workload)
    patterns = [pattern for listener in sidecar.egress for pattern in listener.hosts] if sidecar else ["*/*"]
    exported = _exported_hosts(mesh, workload.namespace)
    return [host for host in exported if _is_imported(host, patterns or ["*/*"], workload.namespace)]


def reachable_hosts(mesh: MeshSnapshot, workload: Workload, callable_hosts: Iterable[Host]) -> list[Host]:
    """Return `callable_hosts` and the destinations of the VirtualServices that apply to them.

    Istio: convertToSidecarScope adds the destinations of the VirtualServices that a Sidecar imports.
    """
    reachable = {host.name: host for host in callable_hosts}
    for rule in [virtual_services.for_host(mesh.rules, workload.namespace, name) for name in reachable]:
        for name in virtual_services.destinations(rule) if rule else ():
            if name in mesh.hosts:
                reachable.setdefault(name, mesh.hosts[name])
    return list(reachable.values())


def _sidecar(rules: Rules, workload: Workload) -> SidecarSpec | None:
    """Return the Sidecar of `workload`. Conflicting Sidecars are rejected before."""
    return next((rule.spec for rule in from_most_specific(rules.sidecars, workload)), None)


def _exported_hosts(mesh: MeshSnapshot, namespace: str) -> Iterable[Host]:
    hidden = {
        name
        for rule in mesh.rules.service_entries
        if not is_exported_to(namespace, rule.spec.export_to, rule.namespace)
        for name in rule.spec.hosts
    }
    return (host for host in mesh.hosts.values() if host.name not in hidden)


def _is_imported(host: Host, patterns: Iterable[str], namespace: str) -> bool:
    """Return whether one of `patterns` (namespace/host of an egress listener) matches `host`."""
    for pattern in patterns:
        scope, _, name = pattern.partition("/")
        if (scope == "*" or host.namespace == (namespace if scope == "." else scope)) and host_matches(name, host.name):
            return True
    return False
