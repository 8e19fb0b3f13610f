"""Istio and Gateway API rules, translated into the configuration of each Envoy of a lab.

The package has no side effects: it takes a topology and rules, and returns Envoy configuration as JSON. Each
translation rule names the source that decides it. Paths are those of github.com/istio/istio.

The modules, from the whole to the parts:

- `rule_conflicts`, `rule_references`: reject rules that contradict each other or refer to missing objects.
- `sidecar_proxy`, `gateway_proxy`: the complete configuration of one proxy.
- `listeners`: ports, filter chains and HTTP filters.
- `virtual_service_routes`, `virtual_service_match`, `http_routes`, `built_in_routes`, `route_parts`: routes.
- `clusters`, `cluster_policy`, `upstream_tls`, `tls`: clusters with their endpoints, limits and TLS.
- `virtual_services`, `gateway_servers`, `gateway_api`, `http_route_backends`, `traffic_policy`, `sidecar_scope`: which
  objects apply to a proxy, a host or a port.
- `peer_authentication`, `authorization`, `jwt`, `rate_limit`, `telemetry`: policies of one proxy.
- `snapshot`, `registry`, `selection`, `names`: the input, the hosts in it, and the rules that all kinds share.
- `describe`, `describe_routes`, `describe_access`, `describe_gateway_api`: the same rules in sentences for people.
- `xds`, `bootstrap`: the files that one Envoy reads.
"""

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate.describe import describe
from bookinfo_lab.translate.describe_gateway_api import invalid_backend_warnings
from bookinfo_lab.translate.gateway_api import reject_unattached_routes
from bookinfo_lab.translate.gateway_proxy import gateway_config
from bookinfo_lab.translate.rule_conflicts import reject_conflicts
from bookinfo_lab.translate.rule_references import reject_missing_references
from bookinfo_lab.translate.sidecar_proxy import sidecar_config
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.xds import ProxyConfig

__all__ = ["describe", "translate", "warnings"]


def translate(topology: Topology, rules: Rules) -> dict[str, ProxyConfig]:
    """Return the configuration of each proxy, by the name of its workload or gateway.

    Raises ManifestError for a rule that refers to a missing object, and for rules that contradict each other.
    """
    mesh = MeshSnapshot(topology, rules)
    reject_conflicts(mesh)
    reject_missing_references(mesh)
    reject_unattached_routes(mesh)
    sidecars = {workload.name: sidecar_config(mesh, workload) for workload in topology.workloads if workload.sidecar}
    gateways = {gateway.name: gateway_config(mesh, gateway) for gateway in topology.gateways}
    return sidecars | gateways


def warnings(topology: Topology, rules: Rules) -> dict[str, list[str]]:
    """Return the warnings about each HTTPRoute, by its `namespace/name`: it is valid, but some requests get 500."""
    mesh = MeshSnapshot(topology, rules)
    return {
        f"{route.namespace}/{route.name}": list(invalid_backend_warnings(mesh, route)) for route in rules.http_routes
    }
