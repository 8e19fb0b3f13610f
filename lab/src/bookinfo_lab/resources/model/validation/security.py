"""What types cannot say about a security object. Istio: pkg/config/validation/validation.go."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bookinfo_lab.resources.documents import Path
from bookinfo_lab.resources.model import gateway_api
from bookinfo_lab.resources.model.base import Spec
from bookinfo_lab.resources.model.security import (
    AuthorizationPolicySpec,
    AuthorizationRule,
    Condition,
    Operation,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
    Source,
)
from bookinfo_lab.resources.model.telemetry import TelemetrySpec
from bookinfo_lab.resources.model.validation import values
from bookinfo_lab.resources.model.validation.values import Problem

CONDITION_KEYS = (
    *("source.ip", "remote.ip", "source.namespace", "source.principal", "source.serviceAccount"),
    *("request.auth.principal", "request.auth.audiences", "request.auth.presenter"),
    *("destination.ip", "destination.port", "connection.sni"),
)
_CONDITION_KEY = re.compile(
    rf"(?:{'|'.join(map(re.escape, CONDITION_KEYS))})"
    r"|request\.headers\[[^\[\]]+\]|request\.auth\.claims(?:\[[^\[\]]+\])+"
)
_CONDITION_VALUES: Mapping[str, Callable[[str, Path], Iterator[Problem]]] = {
    "destination.port": values.port_text,
    **dict.fromkeys(("source.ip", "remote.ip", "destination.ip"), values.ip_block),
}


def peer_authentication(spec: PeerAuthenticationSpec) -> Iterator[Problem]:
    """A PeerAuthentication."""
    if spec.port_level_mtls and not (spec.selector and spec.selector.match_labels):
        yield Problem("portLevelMtls needs a selector", ("portLevelMtls",), "select workloads by matchLabels")
    for port in spec.port_level_mtls:
        yield from values.port_text(port, ("portLevelMtls", port))


def request_authentication(spec: RequestAuthenticationSpec) -> Iterator[Problem]:
    """A RequestAuthentication."""
    yield from _targets(spec)
    for index, rule in enumerate(spec.jwt_rules):
        path: Path = ("jwtRules", index)
        if not rule.issuer:
            yield Problem("a rule has no issuer", (*path, "issuer"), "name whose tokens it takes")
        if rule.jwks is None:
            yield Problem(
                "a rule has no keys", path, "give the issuer's keys inline as jwks (the lab does not fetch jwksUri)"
            )
        elif not _is_key_set(rule.jwks):
            yield Problem("jwks is not a JSON Web Key Set", (*path, "jwks"), 'it looks like {"keys":[...]}')


def _targets(spec: AuthorizationPolicySpec | RequestAuthenticationSpec) -> Iterator[Problem]:
    if spec.selector is not None and spec.target_refs:
        yield Problem("selector and targetRefs exclude each other", ("targetRefs",), "keep one")
    for index, target in enumerate(spec.target_refs):
        if (target.group, target.kind) != (gateway_api.GROUP, "Gateway"):
            yield Problem(
                f"the lab attaches no policy to a {target.kind}",
                ("targetRefs", index),
                f"name a Gateway of {gateway_api.GROUP}, or select workloads: a waypoint takes a cluster",
            )
        if target.namespace:
            yield Problem(
                "a policy is for a Gateway of its own namespace", ("targetRefs", index, "namespace"), "take it out"
            )


def _is_key_set(text: str) -> bool:
    try:
        keys: Any = json.loads(text)
    except ValueError:
        return False
    return isinstance(keys, Mapping) and isinstance(keys.get("keys"), list)


def authorization_policy(spec: AuthorizationPolicySpec) -> Iterator[Problem]:
    """An AuthorizationPolicy."""
    yield from _targets(spec)
    if spec.action == "DENY" and not spec.rules:
        yield Problem("a DENY policy without rules denies nothing", ("rules",), "add a rule; an empty one ({}) is all")
    for index, rule in enumerate(spec.rules or ()):
        yield from _authorization_rule(rule, ("rules", index))


def _authorization_rule(rule: AuthorizationRule, path: Path) -> Iterator[Problem]:
    for field, name, everything in (("from_", "from", "everybody"), ("to", "to", "everything")):
        if field in rule.model_fields_set and not getattr(rule, field):
            yield Problem(f"{name} is empty", (*path, name), f"add an item, or take `{name}` out for {everything}")
    for index, origin in enumerate(rule.from_):
        yield from _source(origin.source, (*path, "from", index, "source"))
    for index, target in enumerate(rule.to):
        yield from _operation(target.operation, (*path, "to", index, "operation"))
    for index, condition in enumerate(rule.when):
        yield from _condition(condition, (*path, "when", index))


def _source(source: Source, path: Path) -> Iterator[Problem]:
    if not _has_any(source):
        yield Problem("source is empty", path, "say who, or take `from` out for everybody")
    yield from _empty_values(source, path)
    others = (source.principals, source.not_principals, source.namespaces, source.not_namespaces)
    if (source.service_accounts or source.not_service_accounts) and any(others):
        yield Problem("serviceAccounts excludes principals and namespaces", path, "make a source of each")
    for blocks in (source.ip_blocks, source.not_ip_blocks, source.remote_ip_blocks, source.not_remote_ip_blocks):
        for block in blocks:
            yield from values.ip_block(block, path)


def _operation(operation: Operation, path: Path) -> Iterator[Problem]:
    if not _has_any(operation):
        yield Problem("operation is empty", path, "say what, or take `to` out for everything")
    yield from _empty_values(operation, path)
    for number in (*operation.ports, *operation.not_ports):
        yield from values.port_text(number, (*path, "ports"))
    for text in (*operation.paths, *operation.not_paths):
        if "{" in text:
            yield Problem("the lab does not match path templates", (*path, "paths"), "write a prefix with *")


def _condition(condition: Condition, path: Path) -> Iterator[Problem]:
    if not _CONDITION_KEY.fullmatch(condition.key):
        known = ", ".join((*CONDITION_KEYS, "request.headers[NAME]", "request.auth.claims[NAME]"))
        yield Problem(f"unknown key {condition.key}", (*path, "key"), f"it can be {known}")
    if not (condition.values or condition.not_values):
        yield Problem("a condition has no values", path, "add values or notValues")
    yield from _empty_values(condition, path)
    if condition.key.startswith("request.headers["):
        yield from values.header_name(condition.key.removeprefix("request.headers")[1:-1], (*path, "key"))
    check = _CONDITION_VALUES.get(condition.key)
    if check is not None:
        for field, found in (("values", condition.values), ("notValues", condition.not_values)):
            for value in found:
                yield from check(value, (*path, field))


def _empty_values(spec: Spec, path: Path) -> Iterator[Problem]:
    for field in type(spec).model_fields:
        found = getattr(spec, field)
        if isinstance(found, tuple) and "" in found:
            yield Problem("an empty text matches nothing", (*path, _alias(spec, field), found.index("")), "take it out")


def _alias(spec: Spec, field: str) -> str:
    return type(spec).model_fields[field].alias or field


def _has_any(spec: Spec) -> bool:
    return any(getattr(spec, field) for field in type(spec).model_fields)


def telemetry(spec: TelemetrySpec) -> Iterator[Problem]:
    """A Telemetry."""
    for index, tracing in enumerate(spec.tracing):
        share = tracing.random_sampling_percentage
        if share is not None:
            yield from values.within(share, 0, 100, ("tracing", index, "randomSamplingPercentage"))
