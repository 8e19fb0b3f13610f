"""Who may call a workload or a gateway, what, and how often, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bookinfo_lab.resources.model.security import (
    AuthorizationPolicySpec,
    AuthorizationRule,
    Condition,
    Operation,
    Source,
)

Term = tuple[str, Sequence[str], Sequence[str]]
"""What is looked at, what it may be, and what it may not be."""


def policy(spec: AuthorizationPolicySpec) -> Iterator[str]:
    """One line for each kind of request that a policy allows or denies."""
    verb = {"ALLOW": "allows", "DENY": "denies"}[spec.action]
    yield from (f"{verb} {_requests(rule)}" for rule in spec.rules or ())
    if not spec.rules:
        yield f"{verb} nothing"


def limit(config: Mapping[str, Any]) -> str:
    """A LocalRateLimit of Envoy."""
    bucket = config["token_bucket"] if isinstance(config["token_bucket"], Mapping) else {}
    tokens = bucket.get("tokens_per_fill", 1)
    words = f"it to {tokens} requests every {bucket.get('fill_interval')}, and {bucket.get('max_tokens')} at once"
    # Envoy's default for both is 0 %.
    if all(_share(config.get(name)) for name in ("filter_enabled", "filter_enforced")):
        return f"limits {words}"
    return f"would limit {words}, but filter_enabled and filter_enforced are not both above 0 %"


def _share(fraction: Any) -> Any:
    value = fraction.get("default_value") if isinstance(fraction, Mapping) else None
    return value.get("numerator") if isinstance(value, Mapping) else None


def _requests(rule: AuthorizationRule) -> str:
    what = ", or ".join(_all(_operation(item.operation)) for item in rule.to) or "everything"
    who = ", or ".join(_all(_source(item.source)) for item in rule.from_) or "everybody"
    when = _all([_condition(item) for item in rule.when])
    return f"{what} to {who}{f' when {when}' if when else ''}"


def _operation(operation: Operation) -> list[Term]:
    return [
        ("method", operation.methods, operation.not_methods),
        ("path", operation.paths, operation.not_paths),
        ("host", operation.hosts, operation.not_hosts),
        ("port", operation.ports, operation.not_ports),
    ]


def _source(source: Source) -> list[Term]:
    return [
        ("principal", source.principals, source.not_principals),
        ("service account", source.service_accounts, source.not_service_accounts),
        ("namespace", source.namespaces, source.not_namespaces),
        ("token of", source.request_principals, source.not_request_principals),
        ("address", source.ip_blocks, source.not_ip_blocks),
        ("first address", source.remote_ip_blocks, source.not_remote_ip_blocks),
    ]


def _condition(condition: Condition) -> Term:
    return f"{condition.key} is", condition.values, condition.not_values


def _all(terms: Sequence[Term]) -> str:
    parts = []
    for name, values, excluded in terms:
        parts += [f"{name} {' or '.join(values)}"] if values else []
        parts += [f"{name} not {' or '.join(excluded)}"] if excluded else []
    return " and ".join(parts)
