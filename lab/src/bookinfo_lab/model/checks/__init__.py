"""What types cannot say about one Istio object.

Each check yields what is wrong; the first is reported. What depends on other objects or on what runs is checked where
it is used.
"""

from collections.abc import Iterator

from bookinfo_lab.model.base import Spec
from bookinfo_lab.model.checks import networking, security
from bookinfo_lab.model.checks.values import Problem
from bookinfo_lab.model.networking import (
    DestinationRuleSpec,
    GatewaySpec,
    ServiceEntrySpec,
    SidecarSpec,
    VirtualServiceSpec,
)
from bookinfo_lab.model.security import AuthorizationPolicySpec, PeerAuthenticationSpec, RequestAuthenticationSpec
from bookinfo_lab.model.telemetry import TelemetrySpec

__all__ = ["Problem", "problems"]


def problems(spec: Spec) -> Iterator[Problem]:
    """Everything that is wrong with `spec` by itself."""
    match spec:
        case GatewaySpec():
            yield from networking.gateway(spec)
        case VirtualServiceSpec():
            yield from networking.virtual_service(spec)
        case DestinationRuleSpec():
            yield from networking.destination_rule(spec)
        case ServiceEntrySpec():
            yield from networking.service_entry(spec)
        case SidecarSpec():
            yield from networking.sidecar(spec)
        case PeerAuthenticationSpec():
            yield from security.peer_authentication(spec)
        case RequestAuthenticationSpec():
            yield from security.request_authentication(spec)
        case AuthorizationPolicySpec():
            yield from security.authorization_policy(spec)
        case TelemetrySpec():
            yield from security.telemetry(spec)
