"""Sidecar: which hosts a workload sees, and what happens to calls of others.

Istio: pilot/pkg/model/sidecar.go.
"""

from collections.abc import Iterable

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import SidecarSpec
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate import virtual_services
from bookinfo_lab.translate.mesh import Host, Mesh, selects, visible
from bookinfo_lab.translate.names import ROOT_NAMESPACE, host_matches

ALLOW_UNKNOWN_HOSTS = False
"""What holds without a Sidecar that says otherwise: REGISTRY_ONLY.

Istio's own default is ALLOW_ANY (MeshConfig.outboundTrafficPolicy). A lab has no mesh configuration, and a page that
calls out into the Internet from a classroom is not what anybody expects of it; a Sidecar with ALLOW_ANY permits it.
"""


def allows_unknown_hosts(rules: Rules, workload: Workload) -> bool:
    """Whether `workload` may call what the registry does not know."""
    sidecar = _sidecar(rules, workload)
    if sidecar is None or sidecar.outbound_traffic_policy is None:
        return ALLOW_UNKNOWN_HOSTS
    return sidecar.outbound_traffic_policy.mode == "ALLOW_ANY"


def visible_hosts(mesh: Mesh, workload: Workload) -> list[Host]:
    """The hosts that `workload` can call."""
    sidecar = _sidecar(mesh.rules, workload)
    patterns = [pattern for listener in sidecar.egress for pattern in listener.hosts] if sidecar else ["*/*"]
    exported = _exported(mesh, workload.namespace)
    return [host for host in exported if _imports(patterns or ["*/*"], host, workload.namespace)]


def reached_hosts(mesh: Mesh, workload: Workload, visible: Iterable[Host]) -> list[Host]:
    """The hosts to which its calls of `visible` ones may go: these, and where the rules for them lead.

    Istio: convertToSidecarScope, which adds the destinations of the VirtualServices that it imports.
    """
    reached = {host.name: host for host in visible}
    for rule in [virtual_services.for_host(mesh.rules, workload.namespace, name) for name in reached]:
        for name in virtual_services.destinations(rule) if rule else ():
            if name in mesh.hosts:
                reached.setdefault(name, mesh.hosts[name])
    return list(reached.values())


def _exported(mesh: Mesh, namespace: str) -> Iterable[Host]:
    hidden = {
        name
        for rule in mesh.rules.service_entries
        if not visible(rule.spec.export_to, rule.namespace, namespace)
        for name in rule.spec.hosts
    }
    return (host for host in mesh.hosts.values() if host.name not in hidden)


def _imports(patterns: Iterable[str], host: Host, namespace: str) -> bool:
    for pattern in patterns:
        scope, _, name = pattern.partition("/")
        if (scope == "*" or host.namespace == (namespace if scope == "." else scope)) and host_matches(name, host.name):
            return True
    return False


def _sidecar(rules: Rules, workload: Workload) -> SidecarSpec | None:
    """The one that selects the workload, else its namespace's, else the mesh's. Two for one workload are refused."""
    own, namespace, mesh = [], [], []
    for rule in rules.sidecars:
        selector = rule.spec.workload_selector
        if rule.namespace == workload.namespace and selector is not None and selects(selector.labels, workload):
            own.append(rule.spec)
        elif rule.namespace == workload.namespace and selector is None:
            namespace.append(rule.spec)
        elif rule.namespace == ROOT_NAMESPACE and selector is None:
            mesh.append(rule.spec)
    return next(iter((*own, *namespace, *mesh)), None)
