"""The rules of Istio and of the Gateway API, rendered for each of a lab's Envoys. Pure: values in, values out.

Each rule of translation says where Istio decides it; paths are those of github.com/istio/istio.
"""

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate.conflicts import refuse_conflicts
from bookinfo_lab.translate.describe import describe
from bookinfo_lab.translate.gateway_api import refuse_unattached
from bookinfo_lab.translate.gateway_api_describe import leading_nowhere
from bookinfo_lab.translate.mesh import Mesh
from bookinfo_lab.translate.proxies import gateway_config, sidecar_config
from bookinfo_lab.translate.references import refuse_unknown
from bookinfo_lab.translate.xds import ProxyConfig

__all__ = ["describe", "render", "warnings"]


def render(topology: Topology, rules: Rules) -> dict[str, ProxyConfig]:
    """What each proxy runs, by the name of its workload or gateway.

    Raises ManifestError for a rule that names what is not there, and for rules that contradict each other.
    """
    mesh = Mesh(topology, rules)
    refuse_conflicts(mesh)
    refuse_unknown(mesh)
    refuse_unattached(mesh)
    sidecars = {workload.name: sidecar_config(mesh, workload) for workload in topology.workloads if workload.sidecar}
    gateways = {gateway.name: gateway_config(mesh, gateway) for gateway in topology.gateways}
    return sidecars | gateways


def warnings(topology: Topology, rules: Rules) -> dict[str, list[str]]:
    """What is valid and yet answers with errors, in lines, by `namespace/name` of its HTTPRoute."""
    mesh = Mesh(topology, rules)
    return {f"{route.namespace}/{route.name}": list(leading_nowhere(mesh, route)) for route in rules.http_routes}
