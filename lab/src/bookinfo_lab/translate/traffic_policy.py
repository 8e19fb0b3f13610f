"""DestinationRule: which one holds for a call, and what it says for one port and subset."""

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
from bookinfo_lab.translate.mesh import Host, Mesh, selects, visible
from bookinfo_lab.translate.names import ROOT_NAMESPACE, full_host, host_matches


@dataclass(frozen=True)
class Policy:
    """What holds for one port of one subset; None is Istio's default."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


def destination_rule(mesh: Mesh, proxy: Proxy, host: Host) -> Rule[DestinationRuleSpec] | None:
    """The rule that `proxy` follows when it calls `host`.

    Istio: PushContext.destinationRule, pilot/pkg/model/push_context.go: the client's namespace first (the root only if
    the rule is not for others), then the service's, then the root; in each an exact host before a wildcard, and a rule
    for some workloads before one for all.
    """
    candidates = [rule for rule in mesh.rules.destination_rules if _holds(rule, proxy, host)]
    return min(candidates, key=lambda rule: _precedence(rule, proxy, host), default=None)


def policy(rule: Rule[DestinationRuleSpec] | None, port: int, subset: str) -> Policy:
    """What `rule` says for `port` of `subset` ("" is the whole host).

    Each block of the subset's takes the place of the rule's, whole. A port's settings take the place of all that stands
    around them: what they leave out is Istio's default. Istio: util.MergeSubsetTrafficPolicy,
    pilot/pkg/networking/util/util.go.
    """
    if rule is None:
        return Policy()
    base = _of_port(rule.spec.traffic_policy, port) or _blocks(rule.spec.traffic_policy)
    own = next((item.traffic_policy for item in rule.spec.subsets if item.name == subset), None)
    return _of_port(own, port) or _overlaid(base, _blocks(own))


def _holds(rule: Rule[DestinationRuleSpec], proxy: Proxy, host: Host) -> bool:
    selector = rule.spec.workload_selector
    if selector is not None and not (rule.namespace == proxy.namespace and selects(selector.match_labels, proxy)):
        return False
    return (
        rule.namespace in (proxy.namespace, host.namespace, ROOT_NAMESPACE)
        and visible(rule.spec.export_to, rule.namespace, proxy.namespace)
        and host_matches(full_host(rule.spec.host, rule.namespace), host.name)
    )


def _precedence(rule: Rule[DestinationRuleSpec], proxy: Proxy, host: Host) -> tuple[int, int, bool]:
    namespaces: tuple[str, ...] = (proxy.namespace, host.namespace, ROOT_NAMESPACE)
    if proxy.namespace == ROOT_NAMESPACE and not set(rule.spec.export_to) <= {".", ROOT_NAMESPACE}:
        # What is for the whole mesh must not hide from the gateways there what a service's own namespace says.
        namespaces = ("", host.namespace, ROOT_NAMESPACE)
    pattern = full_host(rule.spec.host, rule.namespace)
    specificity = 0 if pattern == host.name else -len(pattern) + len(host.name) + 2
    return namespaces.index(rule.namespace), specificity, rule.spec.workload_selector is None


def _of_port(policy: TrafficPolicy | None, port: int) -> Policy | None:
    settings = policy.port_level_settings if policy else ()
    return next((_blocks(item) for item in settings if item.port.number == port), None)


def _blocks(policy: TrafficPolicy | PortTrafficPolicy | None) -> Policy:
    if policy is None:
        return Policy()
    return Policy(policy.load_balancer, policy.connection_pool, policy.outlier_detection, policy.tls)


def _overlaid(base: Policy, own: Policy) -> Policy:
    return Policy(
        load_balancer=own.load_balancer or base.load_balancer,
        connection_pool=own.connection_pool or base.connection_pool,
        outlier_detection=own.outlier_detection or base.outlier_detection,
        tls=own.tls or base.tls,
    )
