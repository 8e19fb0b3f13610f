"""AuthorizationPolicy as Envoy's RBAC filters. Routes configure the filters, so that a policy affects open connections.

Istio: pilot/pkg/security/authz/builder/builder.go, model/model.go, model/generator.go, matcher/.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bookinfo_lab.resources.model.rules import Rule, Rules
from bookinfo_lab.resources.model.security import (
    AuthorizationPolicySpec,
    AuthorizationRule,
    Condition,
    Operation,
    Source,
)
from bookinfo_lab.resources.topology import Gateway, Proxy
from bookinfo_lab.translate.jwt import JWT_FILTER, PAYLOAD
from bookinfo_lab.translate.selection import applies_to
from bookinfo_lab.translate.xds import Json

DENY_FILTER = "envoy.filters.http.rbac.deny"
ALLOW_FILTER = "envoy.filters.http.rbac.allow"

_FILTERS = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3."
_FIRST_UNPRIVILEGED_PORT = 1024
_ANY: Json = {"any": True}
_PRESENT: Json = {"safe_regex": {"regex": ".+"}}


def filters() -> list[Json]:
    """Return the two filters, DENY before ALLOW. They are inactive until a route configures them."""
    return [{"name": name, "typed_config": {"@type": f"{_FILTERS}RBAC"}} for name in (DENY_FILTER, ALLOW_FILTER)]


def policies_for(rules: Rules, proxy: Proxy) -> list[Rule[AuthorizationPolicySpec]]:
    """Return the policies that apply to `proxy`."""
    return [rule for rule in rules.authorization_policies if applies_to(rule, proxy)]


def filter_config(rules: Rules, proxy: Proxy, *, strict: bool) -> Json:
    """Return the configuration of the two filters for `proxy`, by filter name.

    `strict` rejects requests without mutual TLS. The listener enforces strict mode for new connections only; on
    connections that were already open this filter rejects each request.
    """
    policies = policies_for(rules, proxy)
    denying = _rbac_policies(rule for rule in policies if rule.spec.action == "DENY")
    if strict:
        denying["peer-authentication-strict"] = {
            "permissions": [_ANY],
            "principals": [{"not_id": {"authenticated": {}}}],
        }
    allowing = [rule for rule in policies if rule.spec.action == "ALLOW"]
    config = {}
    if denying:
        config[DENY_FILTER] = _per_route("DENY", denying)
    if allowing:
        # An ALLOW policy denies everything that no ALLOW policy allows, even if it has no rule.
        config[ALLOW_FILTER] = _per_route("ALLOW", _rbac_policies(allowing))
    return _with_local_ports(config, proxy) if isinstance(proxy, Gateway) else config


def _with_local_ports(config: Any, gateway: Gateway) -> Any:
    """Replace the ports of the gateway's pod, which policies name, by the ports on which it listens on this machine.

    A pod of istio-ingressgateway listens on port 8080 for port 80 of its Service. The pod that Istio creates for a
    Gateway of the Gateway API listens on the port of the Gateway.
    """
    if isinstance(config, list):
        return [_with_local_ports(item, gateway) for item in config]
    if not isinstance(config, dict):
        return config
    port = config.get("destination_port")
    if isinstance(port, int) and port in gateway.ports and (gateway.resource or port >= _FIRST_UNPRIVILEGED_PORT):
        return {"destination_port": gateway.ports[port][1]}
    return {key: _with_local_ports(value, gateway) for key, value in config.items()}


def _per_route(action: str, policies: Json) -> Json:
    return {"@type": f"{_FILTERS}RBACPerRoute", "rbac": {"rules": {"action": action, "policies": policies}}}


def _rbac_policies(rules: Iterable[Rule[AuthorizationPolicySpec]]) -> Json:
    return {
        f"ns[{rule.namespace}]-policy[{rule.name}]-rule[{index}]": _rbac_policy(item, rule.namespace)
        for rule in rules
        for index, item in enumerate(rule.spec.rules or ())
    }


def _rbac_policy(rule: AuthorizationRule, namespace: str) -> Json:
    """Return a rule as Envoy's permissions (of operations) and principals (of sources). A condition is part of one."""
    conditions = [_condition(item, namespace) for item in rule.when if not _describes_destination(item.key)]
    destinations = [_condition(item, namespace) for item in rule.when if _describes_destination(item.key)]
    sources = [[*_source(item.source, namespace), *conditions] for item in rule.from_] or [conditions]
    operations = [[*_operation(item.operation), *destinations] for item in rule.to] or [destinations]
    return {
        "permissions": [_all_of("and_rules", "rules", parts) for parts in operations],
        "principals": [_all_of("and_ids", "ids", parts) for parts in sources],
    }


def _all_of(conjunction: str, member: str, parts: Sequence[Json]) -> Json:
    return {conjunction: {member: list(parts)}} if parts else _ANY


def _source(source: Source, namespace: str) -> Iterator[Json]:
    for matcher, values, excluded in (
        (_principal, source.principals, source.not_principals),
        (_namespace, source.namespaces, source.not_namespaces),
        (_service_account(namespace), source.service_accounts, source.not_service_accounts),
        (_request_principal, source.request_principals, source.not_request_principals),
        (_address("direct_remote_ip"), source.ip_blocks, source.not_ip_blocks),
        (_address("remote_ip"), source.remote_ip_blocks, source.not_remote_ip_blocks),
    ):
        yield from _any_of("or_ids", "ids", "not_id", matcher, values, excluded)


def _operation(operation: Operation) -> Iterator[Json]:
    for matcher, values, excluded in (
        (_host, operation.hosts, operation.not_hosts),
        (_method, operation.methods, operation.not_methods),
        (_path, operation.paths, operation.not_paths),
        (_port, operation.ports, operation.not_ports),
    ):
        yield from _any_of("or_rules", "rules", "not_rule", matcher, values, excluded)


Matcher = Callable[[str], Json]


def _any_of(
    disjunction: str, member: str, negation: str, matcher: Matcher, values: Sequence[str], excluded: Sequence[str]
) -> Iterator[Json]:
    if values:
        yield {disjunction: {member: [matcher(value) for value in values]}}
    if excluded:
        yield {negation: {disjunction: {member: [matcher(value) for value in excluded]}}}


def _condition(condition: Condition, namespace: str) -> Json:
    matcher = _condition_matcher(condition.key, namespace)
    names = ("or_rules", "rules", "not_rule") if _describes_destination(condition.key) else ("or_ids", "ids", "not_id")
    parts = list(_any_of(*names, matcher, condition.values, condition.not_values))
    conjunction = ("and_rules", "rules") if names[0] == "or_rules" else ("and_ids", "ids")
    return parts[0] if len(parts) == 1 else _all_of(*conjunction, parts)


def _describes_destination(key: str) -> bool:
    return key.startswith(("destination.", "connection."))


def _condition_matcher(key: str, namespace: str) -> Matcher:
    matchers: dict[str, Matcher] = {
        "source.ip": _address("direct_remote_ip"),
        "remote.ip": _address("remote_ip"),
        "source.namespace": _namespace,
        "source.principal": _principal,
        "source.serviceAccount": _service_account(namespace),
        "request.auth.principal": _request_principal,
        "request.auth.audiences": _claim(["aud"]),
        "request.auth.presenter": _claim(["azp"]),
        "destination.ip": _address("destination_ip"),
        "destination.port": _port,
        "connection.sni": lambda value: {"requested_server_name": _string_matcher(value)},
    }
    if key in matchers:
        return matchers[key]
    names = re.findall(r"\[([^\[\]]+)\]", key)
    if key.startswith("request.headers"):
        return lambda value: _header(names[0], value)
    return _claim(names)


def _string_matcher(value: str, *, prefix: str = "", ignore_case: bool = False) -> Json:
    """Return the matcher of a pattern: `*` is any text except the empty one, `x*` a prefix, `*x` a suffix.

    Istio: matcher.StringMatcher.
    """
    case = {"ignore_case": True} if ignore_case else {}
    if value == "*":
        return _PRESENT
    if value.startswith("*"):
        return {"suffix": value[1:], **case}
    if value.endswith("*"):
        return {"prefix": prefix + value[:-1], **case}
    return {"exact": prefix + value, **case}


def _principal(value: str) -> Json:
    return {"authenticated": {"principal_name": _string_matcher(value, prefix="spiffe://")}}


def _namespace(value: str) -> Json:
    pattern = re.escape(value).replace(r"\*", ".*")
    return {"authenticated": {"principal_name": {"safe_regex": {"regex": f".*/ns/{pattern}/.*"}}}}


def _service_account(default_namespace: str) -> Matcher:
    def matcher(value: str) -> Json:
        namespace, separator, account = value.rpartition("/")
        pattern = f"spiffe://.+/ns/{re.escape(namespace if separator else default_namespace)}/sa/{re.escape(account)}"
        return {"authenticated": {"principal_name": {"safe_regex": {"regex": pattern}}}}

    return matcher


def _request_principal(value: str) -> Json:
    """Return the matcher of a token's `issuer/subject`. The issuer can be a URL, so the last slash separates them.

    Istio: requestPrincipalGenerator, pilot/pkg/security/authz/model/generator.go.
    """
    issuer, separator, subject = value.rpartition("/")
    if not separator:
        # Without a slash a leading star matches every issuer, and a trailing star every subject.
        issuer, subject = ("*", value) if value.startswith("*") else (value, "*" if value.endswith("*") else "")
        matched = _string_matcher(issuer), _string_matcher(subject)
    elif value.startswith("*"):
        matched = _string_matcher(issuer), {"exact": subject}  # only the first star is a wildcard
    else:
        matched = {"exact": issuer}, _string_matcher(subject) if value.endswith("*") else {"exact": subject}
    claims = zip(("iss", "sub"), matched, strict=True)
    return {"and_ids": {"ids": [_metadata([name], {"string_match": text}) for name, text in claims]}}


def _claim(names: Sequence[str]) -> Matcher:
    """Return a matcher of a claim that is the value, or a list that contains it."""

    def matcher(value: str) -> Json:
        text = {"string_match": _string_matcher(value)}
        either = {"or_match": {"value_matchers": [{"list_match": {"one_of": text}}, text]}}
        return _metadata(names, either)

    return matcher


def _metadata(claims: Sequence[str], value: Json) -> Json:
    path = [{"key": key} for key in (PAYLOAD, *claims)]
    return {"sourced_metadata": {"metadata_matcher": {"filter": JWT_FILTER, "path": path, "value": value}}}


def _address(kind: str) -> Matcher:
    def matcher(value: str) -> Json:
        network = ipaddress.ip_network(value, strict=False)
        return {kind: {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}}

    return matcher


def _header(name: str, value: str) -> Json:
    if value == "*":
        return {"header": {"name": name, "present_match": True}}
    return {"header": {"name": name, "string_match": _string_matcher(value)}}


def _host(value: str) -> Json:
    return {"header": {"name": ":authority", "string_match": _string_matcher(value, ignore_case=value != "*")}}


def _method(value: str) -> Json:
    return _header(":method", value)


def _path(value: str) -> Json:
    return {"url_path": {"path": _string_matcher(value)}}


def _port(value: str) -> Json:
    return {"destination_port": int(value)}
