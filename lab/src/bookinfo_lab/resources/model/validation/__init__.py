"""The checks of one object that its types cannot express.

Each check yields problems, and the first is reported. `bookinfo_lab.translate` contains the checks that depend on other
objects or on running workloads.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bookinfo_lab.resources.model import gateway_api as gateway_api_model
from bookinfo_lab.resources.model.base import Spec
from bookinfo_lab.resources.model.networking import (
    DestinationRuleSpec,
    GatewaySpec,
    ServiceEntrySpec,
    SidecarSpec,
    VirtualServiceSpec,
)
from bookinfo_lab.resources.model.security import (
    AuthorizationPolicySpec,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
)
from bookinfo_lab.resources.model.telemetry import TelemetrySpec
from bookinfo_lab.resources.model.validation import gateway_api, networking, security, shared
from bookinfo_lab.resources.model.validation.values import Problem

__all__ = ["Problem", "problems"]


_CHECKS: Mapping[type[Spec], Callable[[Any], Iterator[Problem]]] = {
    GatewaySpec: networking.gateway,
    VirtualServiceSpec: networking.virtual_service,
    DestinationRuleSpec: networking.destination_rule,
    ServiceEntrySpec: networking.service_entry,
    SidecarSpec: networking.sidecar,
    PeerAuthenticationSpec: security.peer_authentication,
    RequestAuthenticationSpec: security.request_authentication,
    AuthorizationPolicySpec: security.authorization_policy,
    TelemetrySpec: security.telemetry,
    gateway_api_model.GatewaySpec: gateway_api.gateway,
    gateway_api_model.HTTPRouteSpec: gateway_api.http_route,
    gateway_api_model.ReferenceGrantSpec: gateway_api.reference_grant,
}


def problems(spec: Spec) -> Iterator[Problem]:
    """Yield the problems of `spec`, considered alone."""
    yield from shared.selectors(spec)
    yield from shared.exports(spec)
    check = _CHECKS.get(type(spec))
    if check is not None:
        yield from check(spec)
