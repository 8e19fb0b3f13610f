"""DestinationRule: which one applies to a call, and what it sets for one port and subset."""

from dataclasses import dataclass

from bookinfo_lab.resources.model.networking import (
    ClientTLS,
    ConnectionPool,
    DestinationRuleSpec,
    LoadBalancer,
    OutlierDetection,
    PortTrafficPolicy,
    TrafficPolicy,
)
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate.names import ROOT_NAMESPACE, full_host, host_matches
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.selection import is_exported_to, selects
from bookinfo_lab.translate.snapshot import MeshSnapshot


@dataclass(frozen=True)
class EffectivePolicy:
    """The settings in effect for one port of one subset. None is Istio's default."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


def destination_rule(mesh: MeshSnapshot, proxy: Proxy, host: Host) -> Rule[DestinationRuleSpec] | None:
    """Return the rule that applies when `proxy` calls `host`.

    The client's namespace goes first (the root namespace only for a rule that is not exported), then the service's
    namespace, then the root namespace. Within a namespace an exact host goes before a wildcard, and a rule with a
    workload selector before one without. Istio: PushContext.destinationRule, pilot/pkg/model/push_context.go.
    """
    candidates = [rule for rule in mesh.rules.destination_rules if _applies_to_call(rule, proxy, host)]
    return min(candidates, key=lambda rule: _precedence(rule, proxy, host), default=None)


def effective_policy(rule: Rule[DestinationRuleSpec] | None, port: int, subset: str) -> EffectivePolicy:
    """Return what `rule` sets for `port` of `subset` ("" is the whole host).

    A block of the subset replaces the same block of the rule completely. Settings for a port replace the whole policy
    around them: Istio's defaults apply to the blocks that they leave out. Istio: util.MergeSubsetTrafficPolicy,
    pilot/pkg/networking/util/util.go.
    """
    if rule is None:
        return EffectivePolicy()
    base = _port_level_policy(rule.spec.traffic_policy, port) or _blocks(rule.spec.traffic_policy)
    of_subset = next((item.traffic_policy for item in rule.spec.subsets if item.name == subset), None)
    return _port_level_policy(of_subset, port) or _override(base, _blocks(of_subset))


def _applies_to_call(rule: Rule[DestinationRuleSpec], proxy: Proxy, host: Host) -> bool:
    selector = rule.spec.workload_selector
    if selector is not None and not (rule.namespace == proxy.namespace and selects(selector.match_labels, proxy)):
        return False
    return (
        rule.namespace in (proxy.namespace, host.namespace, ROOT_NAMESPACE)
        and is_exported_to(proxy.namespace, rule.spec.export_to, rule.namespace)
        and host_matches(full_host(rule.spec.host, rule.namespace), host.name)
    )


def _precedence(rule: Rule[DestinationRuleSpec], proxy: Proxy, host: Host) -> tuple[int, int, bool]:
    """Return the sort key of a rule. The smallest key is the rule that applies."""
    namespaces: tuple[str, ...] = (proxy.namespace, host.namespace, ROOT_NAMESPACE)
    if proxy.namespace == ROOT_NAMESPACE and not set(rule.spec.export_to) <= {".", ROOT_NAMESPACE}:
        # A gateway in the root namespace must use the rule of a service's own namespace before a mesh-wide rule.
        namespaces = ("", host.namespace, ROOT_NAMESPACE)
    pattern = full_host(rule.spec.host, rule.namespace)
    specificity = 0 if pattern == host.name else -len(pattern) + len(host.name) + 2
    return namespaces.index(rule.namespace), specificity, rule.spec.workload_selector is None


def _port_level_policy(policy: TrafficPolicy | None, port: int) -> EffectivePolicy | None:
    settings = policy.port_level_settings if policy else ()
    return next((_blocks(item) for item in settings if item.port.number == port), None)


def _blocks(policy: TrafficPolicy | PortTrafficPolicy | None) -> EffectivePolicy:
    if policy is None:
        return EffectivePolicy()
    return EffectivePolicy(policy.load_balancer, policy.connection_pool, policy.outlier_detection, policy.tls)


def _override(base: EffectivePolicy, override: EffectivePolicy) -> EffectivePolicy:
    return EffectivePolicy(
        load_balancer=override.load_balancer or base.load_balancer,
        connection_pool=override.connection_pool or base.connection_pool,
        outlier_detection=override.outlier_detection or base.outlier_detection,
        tls=override.tls or base.tls,
    )
