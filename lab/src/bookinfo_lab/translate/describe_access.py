"""Policies that restrict requests to a workload or a gateway, in sentences: authorization and rate limits."""

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
"""A property of a request, the values that match, and the values that do not match."""


def authorization_policy(spec: AuthorizationPolicySpec) -> Iterator[str]:
    """Yield one line for each rule of a policy: the requests that it allows or denies."""
    verb = {"ALLOW": "allows", "DENY": "denies"}[spec.action]
    yield from (f"{verb} {_requests(rule)}" for rule in spec.rules or ())
    if not spec.rules:
        yield f"{verb} no requests"


def rate_limit(config: Mapping[str, Any]) -> str:
    """Return the line for an Envoy LocalRateLimit."""
    bucket = config["token_bucket"] if isinstance(config["token_bucket"], Mapping) else {}
    tokens = bucket.get("tokens_per_fill", 1)
    limit = f"{tokens} requests every {bucket.get('fill_interval')}, in bursts of up to {bucket.get('max_tokens')}"
    # Envoy's default for both is 0 %.
    if all(_numerator(config.get(name)) for name in ("filter_enabled", "filter_enforced")):
        return f"limits requests to {limit}"
    return f"has no effect: it limits requests to {limit} only if filter_enabled and filter_enforced are above 0 %"


def _numerator(fraction: Any) -> Any:
    value = fraction.get("default_value") if isinstance(fraction, Mapping) else None
    return value.get("numerator") if isinstance(value, Mapping) else None


def _requests(rule: AuthorizationRule) -> str:
    operations = ", or ".join(f"with {_all_of(_operation(item.operation))}" for item in rule.to)
    sources = ", or ".join(f"from {_all_of(_source(item.source))}" for item in rule.from_)
    conditions = _all_of([_condition(item) for item in rule.when])
    parts = [part for part in (operations, sources, f"when {conditions}" if conditions else "") if part]
    return f"requests {', '.join(parts)}" if parts else "all requests"


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
        ("request principal", source.request_principals, source.not_request_principals),
        ("IP address", source.ip_blocks, source.not_ip_blocks),
        ("remote IP address", source.remote_ip_blocks, source.not_remote_ip_blocks),
    ]


def _condition(condition: Condition) -> Term:
    return f"{condition.key} is", condition.values, condition.not_values


def _all_of(terms: Sequence[Term]) -> str:
    parts = []
    for name, values, excluded in terms:
        parts += [f"{name} {' or '.join(values)}"] if values else []
        parts += [f"{name} not {' or '.join(excluded)}"] if excluded else []
    return " and ".join(parts)
