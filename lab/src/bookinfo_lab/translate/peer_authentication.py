"""PeerAuthentication: whether a workload accepts mutual TLS, plaintext, or both.

Istio: ComposePeerAuthentication, pilot/pkg/security/authn/policy_applier.go.
"""

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.security import MutualTLSMode
from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.translate.selection import from_most_specific


def mutual_tls_mode(rules: Rules, workload: Workload, port: int) -> MutualTLSMode:
    """Return the mode of one port of `workload`: that of the most specific policy that sets one, else PERMISSIVE."""
    for rule in from_most_specific(rules.peer_authentications, workload):
        port_level = rule.spec.port_level_mtls.get(str(port))
        for setting in (port_level, rule.spec.mtls):
            if setting is not None and setting.mode != "UNSET":
                return setting.mode
    return "PERMISSIVE"
