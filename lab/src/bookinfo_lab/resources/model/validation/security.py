"""The checks of a security object. Istio: pkg/config/validation/validation.go."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
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
_CONDITION_VALUES: Mapping[str, Callable[[str, FieldPath], Iterator[Problem]]] = {
    "destination.port": values.port_text,
    **dict.fromkeys(("source.ip", "remote.ip", "destination.ip"), values.ip_block),
}


def peer_authentication(spec: PeerAuthenticationSpec) -> Iterator[Problem]:
    """A PeerAuthentication."""
    if spec.port_level_mtls and not (spec.selector and spec.selector.match_labels):
        yield Problem(manifest_errors.port_mtls_without_selector(), ("portLevelMtls",))
    for port in spec.port_level_mtls:
        yield from values.port_text(port, ("portLevelMtls", port))


def request_authentication(spec: RequestAuthenticationSpec) -> Iterator[Problem]:
    """A RequestAuthentication."""
    yield from _targets(spec)
    for index, rule in enumerate(spec.jwt_rules):
        path: FieldPath = ("jwtRules", index)
        if not rule.issuer:
            yield Problem(manifest_errors.missing_field("issuer"), (*path, "issuer"))
        if rule.jwks is None:
            yield Problem(manifest_errors.missing_jwks(), path)
        elif not _is_key_set(rule.jwks):
            yield Problem(manifest_errors.invalid_jwks(), (*path, "jwks"))


def _targets(spec: AuthorizationPolicySpec | RequestAuthenticationSpec) -> Iterator[Problem]:
    if spec.selector is not None and spec.target_refs:
        yield Problem(manifest_errors.mutually_exclusive(["selector", "targetRefs"]), ("targetRefs",))
    for index, target in enumerate(spec.target_refs):
        if (target.group, target.kind) != (gateway_api.GROUP, "Gateway"):
            supported = f"a Gateway of {gateway_api.GROUP}, or a selector: the lab has no waypoints"
            yield Problem(manifest_errors.unsupported_reference(target.kind, supported), ("targetRefs", index))
        if target.namespace:
            reason = "a policy applies to a Gateway in its own namespace"
            yield Problem(manifest_errors.unsupported_field("namespace", reason), ("targetRefs", index, "namespace"))


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
        yield Problem(manifest_errors.deny_without_rules(), ("rules",))
    for index, rule in enumerate(spec.rules or ()):
        yield from _authorization_rule(rule, ("rules", index))


def _authorization_rule(rule: AuthorizationRule, path: FieldPath) -> Iterator[Problem]:
    for field, name, subject in (("from_", "from", "source"), ("to", "to", "operation")):
        if field in rule.model_fields_set and not getattr(rule, field):
            yield Problem(
                manifest_errors.empty_match(name, f"add an item, or remove it to match every {subject}"), (*path, name)
            )
    for index, origin in enumerate(rule.from_):
        yield from _source(origin.source, (*path, "from", index, "source"))
    for index, target in enumerate(rule.to):
        yield from _operation(target.operation, (*path, "to", index, "operation"))
    for index, condition in enumerate(rule.when):
        yield from _condition(condition, (*path, "when", index))


def _source(source: Source, path: FieldPath) -> Iterator[Problem]:
    if not _has_any(source):
        yield Problem(
            manifest_errors.empty_match("source", "add a field, or remove `from` to match every source"), path
        )
    yield from _empty_values(source, path)
    others = (source.principals, source.not_principals, source.namespaces, source.not_namespaces)
    if (source.service_accounts or source.not_service_accounts) and any(others):
        yield Problem(manifest_errors.mutually_exclusive(["serviceAccounts", "principals or namespaces"]), path)
    for blocks in (source.ip_blocks, source.not_ip_blocks, source.remote_ip_blocks, source.not_remote_ip_blocks):
        for block in blocks:
            yield from values.ip_block(block, path)


def _operation(operation: Operation, path: FieldPath) -> Iterator[Problem]:
    if not _has_any(operation):
        yield Problem(
            manifest_errors.empty_match("operation", "add a field, or remove `to` to match every operation"), path
        )
    yield from _empty_values(operation, path)
    for number in (*operation.ports, *operation.not_ports):
        yield from values.port_text(number, (*path, "ports"))
    for text in (*operation.paths, *operation.not_paths):
        if "{" in text:
            yield Problem(manifest_errors.unsupported_path_template(text), (*path, "paths"))


def _condition(condition: Condition, path: FieldPath) -> Iterator[Problem]:
    if not _CONDITION_KEY.fullmatch(condition.key):
        known = (*CONDITION_KEYS, "request.headers[NAME]", "request.auth.claims[NAME]")
        yield Problem(manifest_errors.unknown_condition(condition.key, known), (*path, "key"))
    if not (condition.values or condition.not_values):
        yield Problem(manifest_errors.at_least_one_of(["values", "notValues"]), path)
    yield from _empty_values(condition, path)
    if condition.key.startswith("request.headers["):
        yield from values.header_name(condition.key.removeprefix("request.headers")[1:-1], (*path, "key"))
    check = _CONDITION_VALUES.get(condition.key)
    if check is not None:
        for field, found in (("values", condition.values), ("notValues", condition.not_values)):
            for value in found:
                yield from check(value, (*path, field))


def _empty_values(spec: Spec, path: FieldPath) -> Iterator[Problem]:
    for field in type(spec).model_fields:
        found = getattr(spec, field)
        if isinstance(found, tuple) and "" in found:
            yield Problem(manifest_errors.empty_string(), (*path, _alias(spec, field), found.index("")))


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
