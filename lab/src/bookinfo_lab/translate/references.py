"""What rules name must be there. Istio is silent where it is not, and the rule does nothing."""

from collections.abc import Iterator

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import DestinationRuleSpec, PortTrafficPolicy
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.translate.mesh import Mesh, Policy, selects
from bookinfo_lab.translate.names import MESH, full_host, gateway_reference
from bookinfo_lab.translate.virtual_services import VirtualService


def refuse_unknown(mesh: Mesh) -> None:
    """Raise ManifestError for a gateway, a port of one or a port of a host that is not there."""
    gateways = {f"{rule.namespace}/{rule.name}" for rule in mesh.rules.gateways} | {MESH}
    for rule in mesh.rules.virtual_services:
        for path, name in _gateways(rule):
            if gateway_reference(name, rule.namespace) not in gateways:
                namespace, _, own_name = gateway_reference(name, rule.namespace).rpartition("/")
                raise rule.document.error(manifest_errors.object_not_found("Gateway", own_name, namespace), path)
    _refuse_closed_ports(mesh)
    _refuse_unknown_targets(mesh.rules)
    for item in mesh.rules.destination_rules:
        host = mesh.hosts.get(full_host(item.spec.host, item.namespace))
        for path, settings in _port_settings(item) if host else ():
            if host and host.port(settings.port.number) is None:
                known = [port.number for port in host.ports]
                raise item.document.error(
                    manifest_errors.port_not_found(host.name, settings.port.number, known), (*path, "port", "number")
                )


def _refuse_closed_ports(mesh: Mesh) -> None:
    """A server at a port that none of the gateways that it selects has. Selecting none is for one that comes later."""
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


def _refuse_unknown_targets(rules: Rules) -> None:
    known = {(rule.namespace, rule.name) for rule in rules.api_gateways}
    policies: list[Policy] = [*rules.authorization_policies, *rules.request_authentications]
    for rule in policies:
        for index, target in enumerate(rule.spec.target_refs):
            if (rule.namespace, target.name) not in known:
                raise rule.document.error(
                    manifest_errors.object_not_found("Gateway", target.name, rule.namespace),
                    ("spec", "targetRefs", index, "name"),
                )


def _gateways(rule: VirtualService) -> Iterator[tuple[FieldPath, str]]:
    for index, name in enumerate(rule.spec.gateways):
        yield ("spec", "gateways", index), name
    for number, http in enumerate(rule.spec.http):
        for index, match in enumerate(http.match):
            for position, name in enumerate(match.gateways):
                yield ("spec", "http", number, "match", index, "gateways", position), name


def _port_settings(rule: Rule[DestinationRuleSpec]) -> Iterator[tuple[FieldPath, PortTrafficPolicy]]:
    places: list[tuple[FieldPath, object]] = [(("spec", "trafficPolicy"), rule.spec.traffic_policy)]
    for index, subset in enumerate(rule.spec.subsets):
        places.append((("spec", "subsets", index, "trafficPolicy"), subset.traffic_policy))
    for path, policy in places:
        for index, settings in enumerate(getattr(policy, "port_level_settings", ())):
            yield (*path, "portLevelSettings", index), settings
