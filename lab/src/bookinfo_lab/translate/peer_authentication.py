"""PeerAuthentication: whether a workload takes mutual TLS, plaintext, or either.

Istio: ComposePeerAuthentication, pilot/pkg/security/authn/policy_applier.go.
"""

from collections.abc import Iterator

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.security import MutualTLSMode, PeerAuthenticationSpec
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate.names import ROOT_NAMESPACE


def mutual_tls_mode(rules: Rules, workload: Workload, port: int) -> MutualTLSMode:
    """The mode of `workload`'s `port`: the most specific policy that sets one decides, PERMISSIVE if none does."""
    for spec in _from_most_specific(rules, workload):
        port_level = spec.port_level_mtls.get(str(port))
        for setting in (port_level, spec.mtls):
            if setting is not None and setting.mode != "UNSET":
                return setting.mode
    return "PERMISSIVE"


def _from_most_specific(rules: Rules, workload: Workload) -> Iterator[PeerAuthenticationSpec]:
    """Policies for the workload itself, then for its namespace, then for the mesh. Two for one workload are refused."""
    own, namespace, mesh = [], [], []
    for rule in rules.peer_authentications:
        labels = rule.spec.selector.match_labels if rule.spec.selector else {}
        if labels and rule.namespace == workload.namespace and labels.items() <= workload.labels.items():
            own.append(rule.spec)
        elif not labels and rule.namespace == workload.namespace:
            namespace.append(rule.spec)
        elif not labels and rule.namespace == ROOT_NAMESPACE:
            mesh.append(rule.spec)
    yield from (*own, *namespace, *mesh)
