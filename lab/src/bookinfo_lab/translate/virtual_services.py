"""Which VirtualServices apply to a sidecar or to the servers of a gateway."""

from collections.abc import Iterator

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import VirtualServiceSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.translate.names import MESH_GATEWAY, full_host, gateway_reference, host_matches
from bookinfo_lab.translate.selection import is_exported_to

VirtualService = Rule[VirtualServiceSpec]


def for_host(rules: Rules, namespace: str, host: str) -> VirtualService | None:
    """Return the rule that sidecars in `namespace` follow for `host`. An exact host goes before a wildcard.

    Istio: SelectVirtualServices, pilot/pkg/networking/core/httproute.go. Sidecars do not merge rules.
    """
    candidates = [(pattern, rule) for rule in for_sidecars(rules, namespace) for pattern in hosts(rule)]
    matching = [(pattern, rule) for pattern, rule in candidates if host_matches(pattern, host)]
    return max(matching, key=lambda item: (not item[0].startswith("*"), len(item[0])), default=(None, None))[1]


def for_sidecars(rules: Rules, namespace: str) -> list[VirtualService]:
    """Return every rule that sidecars in `namespace` follow."""
    return [
        rule
        for rule in rules.virtual_services
        if MESH_GATEWAY in rule.spec.gateways and is_exported_to(namespace, rule.spec.export_to, rule.namespace)
    ]


def for_gateways(rules: Rules, gateways: frozenset[str], namespace: str) -> list[VirtualService]:
    """Return every rule that is bound to one of `gateways` (namespace/name) and exported to the proxy's `namespace`.

    Istio: PushContext.VirtualServicesForGateway, pilot/pkg/model/push_context.go.
    """
    return [
        rule
        for rule in rules.virtual_services
        if gateways & {gateway_reference(name, rule.namespace) for name in rule.spec.gateways}
        and is_exported_to(namespace, rule.spec.export_to, rule.namespace)
    ]


def hosts(rule: VirtualService) -> list[str]:
    """Return the full hosts of `rule`."""
    return [full_host(host, rule.namespace) for host in rule.spec.hosts]


def destinations(rule: VirtualService) -> Iterator[str]:
    """Yield the full hosts to which `rule` routes or mirrors requests."""
    for http in rule.spec.http:
        destinations = [item.destination for item in http.route] + [item.destination for item in http.mirrors]
        for destination in [*destinations, http.mirror] if http.mirror else destinations:
            yield full_host(destination.host, rule.namespace)
