"""AuthorizationPolicy as Envoy's RBAC, for a route: so that it reaches connections that are open.

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
from bookinfo_lab.translate.mesh import holds_for

Json = dict[str, Any]

DENY_FILTER = "envoy.filters.http.rbac.deny"
ALLOW_FILTER = "envoy.filters.http.rbac.allow"

_FILTERS = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3."
_UNPRIVILEGED = 1024
_ANYTHING: Json = {"any": True}
_PRESENT: Json = {"safe_regex": {"regex": ".+"}}


def filters() -> list[Json]:
    """The two filters, inert until a route configures them: what is denied goes before what is allowed."""
    return [{"name": name, "typed_config": {"@type": f"{_FILTERS}RBAC"}} for name in (DENY_FILTER, ALLOW_FILTER)]


def policies_for(rules: Rules, proxy: Proxy) -> list[Rule[AuthorizationPolicySpec]]:
    """The policies that hold for `proxy`."""
    return [rule for rule in rules.authorization_policies if holds_for(rule, proxy)]


def filter_config(rules: Rules, proxy: Proxy, *, strict: bool) -> Json:
    """What the two filters enforce for `proxy`, by filter name; `strict` refuses callers without mutual TLS.

    Strict mode is a listener's matter, which does not reach the connections that were open when it came: on those
    each request is refused here.
    """
    held = policies_for(rules, proxy)
    denied = _policies(rule for rule in held if rule.spec.action == "DENY")
    if strict:
        denied["peer-authentication-strict"] = {
            "permissions": [_ANYTHING],
            "principals": [{"not_id": {"authenticated": {}}}],
        }
    allowing = [rule for rule in held if rule.spec.action == "ALLOW"]
    config = {}
    if denied:
        config[DENY_FILTER] = _per_route("DENY", denied)
    if allowing:
        # One policy that allows something forbids everything else, also if it has no rule at all.
        config[ALLOW_FILTER] = _per_route("ALLOW", _policies(allowing))
    return _on_the_hosts_ports(config, proxy) if isinstance(proxy, Gateway) else config


def _on_the_hosts_ports(rendered: Any, gateway: Gateway) -> Any:
    """The same with the ports on which a gateway listens here, in place of those of its pod, which policies name.

    A pod of istio-ingressgateway listens on 8080 for port 80, one that Istio makes for a Gateway on the port itself.
    """
    if isinstance(rendered, list):
        return [_on_the_hosts_ports(item, gateway) for item in rendered]
    if not isinstance(rendered, dict):
        return rendered
    port = rendered.get("destination_port")
    if isinstance(port, int) and port in gateway.ports and (gateway.resource or port >= _UNPRIVILEGED):
        return {"destination_port": gateway.ports[port][1]}
    return {key: _on_the_hosts_ports(value, gateway) for key, value in rendered.items()}


def _per_route(action: str, policies: Json) -> Json:
    return {"@type": f"{_FILTERS}RBACPerRoute", "rbac": {"rules": {"action": action, "policies": policies}}}


def _policies(rules: Iterable[Rule[AuthorizationPolicySpec]]) -> Json:
    return {
        f"ns[{rule.namespace}]-policy[{rule.name}]-rule[{index}]": _policy(item, rule.namespace)
        for rule in rules
        for index, item in enumerate(rule.spec.rules or ())
    }


def _policy(rule: AuthorizationRule, namespace: str) -> Json:
    conditions = [condition for condition in rule.when if not _is_of_destination(condition.key)]
    targets = [condition for condition in rule.when if _is_of_destination(condition.key)]
    when = [_condition(condition, namespace) for condition in conditions]
    where = [_condition(condition, namespace) for condition in targets]
    origins = [[*_source(item.source, namespace), *when] for item in rule.from_] or [when]
    operations = [[*_operation(item.operation), *where] for item in rule.to] or [where]
    return {
        "permissions": [_all("and_rules", "rules", parts) for parts in operations],
        "principals": [_all("and_ids", "ids", parts) for parts in origins],
    }


def _all(conjunction: str, member: str, parts: Sequence[Json]) -> Json:
    return {conjunction: {member: list(parts)}} if parts else _ANYTHING


def _source(source: Source, namespace: str) -> Iterator[Json]:
    for matcher, values, excluded in (
        (_principal, source.principals, source.not_principals),
        (_namespace, source.namespaces, source.not_namespaces),
        (_service_account(namespace), source.service_accounts, source.not_service_accounts),
        (_request_principal, source.request_principals, source.not_request_principals),
        (_address("direct_remote_ip"), source.ip_blocks, source.not_ip_blocks),
        (_address("remote_ip"), source.remote_ip_blocks, source.not_remote_ip_blocks),
    ):
        yield from _either("or_ids", "ids", "not_id", matcher, values, excluded)


def _operation(operation: Operation) -> Iterator[Json]:
    for matcher, values, excluded in (
        (_host, operation.hosts, operation.not_hosts),
        (_method, operation.methods, operation.not_methods),
        (_path, operation.paths, operation.not_paths),
        (_port, operation.ports, operation.not_ports),
    ):
        yield from _either("or_rules", "rules", "not_rule", matcher, values, excluded)


Matcher = Callable[[str], Json]


def _either(
    disjunction: str, member: str, negation: str, matcher: Matcher, values: Sequence[str], excluded: Sequence[str]
) -> Iterator[Json]:
    if values:
        yield {disjunction: {member: [matcher(value) for value in values]}}
    if excluded:
        yield {negation: {disjunction: {member: [matcher(value) for value in excluded]}}}


def _condition(condition: Condition, namespace: str) -> Json:
    matcher = _condition_matcher(condition.key, namespace)
    names = ("or_rules", "rules", "not_rule") if _is_of_destination(condition.key) else ("or_ids", "ids", "not_id")
    parts = list(_either(*names, matcher, condition.values, condition.not_values))
    conjunction = ("and_rules", "rules") if names[0] == "or_rules" else ("and_ids", "ids")
    return parts[0] if len(parts) == 1 else _all(*conjunction, parts)


def _is_of_destination(key: str) -> bool:
    return key.startswith(("destination.", "connection."))


def _condition_matcher(key: str, namespace: str) -> Matcher:
    fixed: dict[str, Matcher] = {
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
        "connection.sni": lambda value: {"requested_server_name": _text(value)},
    }
    if key in fixed:
        return fixed[key]
    names = re.findall(r"\[([^\[\]]+)\]", key)
    if key.startswith("request.headers"):
        return lambda value: _header(names[0], value)
    return _claim(names)


def _text(value: str, *, prefix: str = "", ignore_case: bool = False) -> Json:
    """`*` is any text but none, `x*` a prefix, `*x` a suffix. Istio: matcher.StringMatcher."""
    case = {"ignore_case": True} if ignore_case else {}
    if value == "*":
        return _PRESENT
    if value.startswith("*"):
        return {"suffix": value[1:], **case}
    if value.endswith("*"):
        return {"prefix": prefix + value[:-1], **case}
    return {"exact": prefix + value, **case}


def _principal(value: str) -> Json:
    return {"authenticated": {"principal_name": _text(value, prefix="spiffe://")}}


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
    """A token's issuer and subject; the issuer may be a URL, so they part at the last slash."""
    issuer, separator, subject = value.rpartition("/")
    if not separator:
        # Without a slash a leading star leaves the issuer open, and a trailing one the subject.
        issuer, subject = ("*", value) if value.startswith("*") else (value, "*" if value.endswith("*") else "")
        matched = _text(issuer), _text(subject)
    elif value.startswith("*"):
        matched = _text(issuer), {"exact": subject}  # of several stars one counts
    else:
        matched = {"exact": issuer}, _text(subject) if value.endswith("*") else {"exact": subject}
    claims = zip(("iss", "sub"), matched, strict=True)
    return {"and_ids": {"ids": [_metadata([name], {"string_match": text}) for name, text in claims]}}


def _claim(names: Sequence[str]) -> Matcher:
    """A claim that is the text, or a list that has it."""

    def matcher(value: str) -> Json:
        text = {"string_match": _text(value)}
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
    return {"header": {"name": name, "string_match": _text(value)}}


def _host(value: str) -> Json:
    return {"header": {"name": ":authority", "string_match": _text(value, ignore_case=value != "*")}}


def _method(value: str) -> Json:
    return _header(":method", value)


def _path(value: str) -> Json:
    return {"url_path": {"path": _text(value)}}


def _port(value: str) -> Json:
    return {"destination_port": int(value)}
