"""References of rules to other objects. Istio accepts a missing object silently, and the rule has no effect."""

from collections.abc import Iterator

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import DestinationRuleSpec, PortTrafficPolicy
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.security import AuthorizationPolicySpec, RequestAuthenticationSpec
from bookinfo_lab.translate.names import MESH_GATEWAY, full_host, gateway_reference
from bookinfo_lab.translate.selection import selects
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.virtual_services import VirtualService


def reject_missing_references(mesh: MeshSnapshot) -> None:
    """Raise ManifestError for a rule that names a missing Gateway, a closed gateway port, or a missing host port."""
    _reject_missing_gateways(mesh.rules)
    _reject_closed_gateway_ports(mesh)
    _reject_missing_policy_targets(mesh.rules)
    _reject_missing_host_ports(mesh)


def _reject_missing_gateways(rules: Rules) -> None:
    known = {f"{rule.namespace}/{rule.name}" for rule in rules.gateways} | {MESH_GATEWAY}
    for rule in rules.virtual_services:
        for path, name in _gateway_references(rule):
            if gateway_reference(name, rule.namespace) not in known:
                namespace, _, own_name = gateway_reference(name, rule.namespace).rpartition("/")
                raise rule.document.error(manifest_errors.object_not_found("Gateway", own_name, namespace), path)


def _gateway_references(rule: VirtualService) -> Iterator[tuple[FieldPath, str]]:
    for index, name in enumerate(rule.spec.gateways):
        yield ("spec", "gateways", index), name
    for number, http in enumerate(rule.spec.http):
        for index, match in enumerate(http.match):
            for position, name in enumerate(match.gateways):
                yield ("spec", "http", number, "match", index, "gateways", position), name


def _reject_closed_gateway_ports(mesh: MeshSnapshot) -> None:
    """Reject a server on a port that no selected gateway has.

    A selector without any gateway is accepted: the gateway can be applied later.
    """
    for rule in mesh.rules.gateways:
        selected = [
            gateway
            for gateway in mesh.topology.gateways
            if not gateway.resource and selects(rule.spec.selector, gateway)
        ]
        names = " and ".join(gateway.name for gateway in selected)
        known = sorted({port for gateway in selected for port in gateway.ports})
        for index, server in enumerate(rule.spec.servers):
            if selected and server.port.number not in known:
                raise rule.document.error(
                    manifest_errors.port_not_served(names, server.port.number, known),
                    ("spec", "servers", index, "port", "number"),
                )


def _reject_missing_policy_targets(rules: Rules) -> None:
    known = {(rule.namespace, rule.name) for rule in rules.api_gateways}
    policies: list[Rule[AuthorizationPolicySpec] | Rule[RequestAuthenticationSpec]]
    policies = [*rules.authorization_policies, *rules.request_authentications]
    for rule in policies:
        for index, target in enumerate(rule.spec.target_refs):
            if (rule.namespace, target.name) not in known:
                raise rule.document.error(
                    manifest_errors.object_not_found("Gateway", target.name, rule.namespace),
                    ("spec", "targetRefs", index, "name"),
                )


def _reject_missing_host_ports(mesh: MeshSnapshot) -> None:
    for rule in mesh.rules.destination_rules:
        host = mesh.hosts.get(full_host(rule.spec.host, rule.namespace))
        for path, settings in _port_level_settings(rule) if host else ():
            if host and host.port(settings.port.number) is None:
                known = [port.number for port in host.ports]
                raise rule.document.error(
                    manifest_errors.port_not_found(host.name, settings.port.number, known), (*path, "port", "number")
                )


def _port_level_settings(rule: Rule[DestinationRuleSpec]) -> Iterator[tuple[FieldPath, PortTrafficPolicy]]:
    policies: list[tuple[FieldPath, object]] = [(("spec", "trafficPolicy"), rule.spec.traffic_policy)]
    for index, subset in enumerate(rule.spec.subsets):
        policies.append((("spec", "subsets", index, "trafficPolicy"), subset.traffic_policy))
    for path, policy in policies:
        for index, settings in enumerate(getattr(policy, "port_level_settings", ())):
            yield (*path, "portLevelSettings", index), settings
