"""Parts of a route that VirtualServices, HTTPRoutes and built-in routes have in common.

Istio: pilot/pkg/networking/core/route/route.go and, for retries, route/retry/retry.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bookinfo_lab.resources.model.base import duration
from bookinfo_lab.resources.model.networking import ConsistentHash, HTTPRetry
from bookinfo_lab.resources.model.validation.networking import AUTHORITY, retry_conditions
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.traffic_policy import destination_rule, effective_policy
from bookinfo_lab.translate.xds import Json

ANY_PATH: Json = {"prefix": "/"}

NO_TIMEOUT = duration(0)

REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
"""Envoy's name of each redirect status."""

DEFAULT_RETRIES = 2

# MeshConfig's default: a request is not retried if the server may have begun to process it.
_DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"

_PREVIOUS_PRIORITIES = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"


@dataclass(frozen=True)
class Caller:
    """The proxy whose routes are translated, and the listener that uses them."""

    proxy: Proxy
    gateways: frozenset[str]  # "mesh" for a sidecar, else namespace/name of the Gateways that share the listener
    port: int
    tls: bool = False  # whether requests arrive by TLS


RouteTarget = tuple[Host, int, str]
"""A host, a port and a subset to which a route sends requests."""


def timeout(seconds: float | None) -> Json:
    """Return the time limit for all tries together. None is no limit: Envoy's own default of 15 s must not apply."""
    # `max_stream_duration`, which gRPC's own header needs, is not set: Envoy would ignore `timeout`.
    return {"timeout": duration(seconds) if seconds else NO_TIMEOUT}


def retry_policy(retries: HTTPRetry | None, *, has_hash: bool) -> Json:
    """Return the retry policy: without `retries` the mesh's default, and none for `attempts: 0`.

    Istio: retry.ConvertPolicy.
    """
    settings = retries or HTTPRetry(attempts=DEFAULT_RETRIES)
    if settings.attempts == 0:
        return {}
    policy: Json = {"retry_on": _DEFAULT_RETRY_ON, "num_retries": settings.attempts}
    if settings.retry_on:
        conditions = retry_conditions(settings.retry_on)
        codes = [int(condition) for condition in conditions if condition.isdigit()]
        names = [condition for condition in conditions if not condition.isdigit()]
        policy["retry_on"] = ",".join([*names, *(["retriable-status-codes"] if codes else [])])
        if codes:
            policy["retriable_status_codes"] = codes
    if settings.per_try_timeout is not None:
        policy["per_try_timeout"] = duration(settings.per_try_timeout)
    if settings.backoff is not None:
        policy["retry_back_off"] = {"base_interval": duration(settings.backoff)}
    if settings.retry_ignore_previous_hosts and not has_hash:
        # With a consistent hash every try must reach the same endpoint.
        predicate = {"@type": f"type.googleapis.com/{_PREVIOUS_HOSTS}"}
        policy["retry_host_predicate"] = [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": predicate}
        ]
        policy["host_selection_retry_max_attempts"] = 5
    if settings.retry_remote_localities:
        # As in Istio, every second try goes to the next locality.
        priority = {"@type": f"type.googleapis.com/{_PREVIOUS_PRIORITIES}", "update_frequency": 2}
        policy["retry_priority"] = {"name": "envoy.retry_priorities.previous_priorities", "typed_config": priority}
    return {"retry_policy": policy}


def hash_policies(mesh: MeshSnapshot, proxy: Proxy, targets: Sequence[RouteTarget]) -> Json:
    """Return the part of a request that a consistent hash uses, by the DestinationRule of each target.

    The load balancer of the cluster uses the hash that the route computes. Istio: getHashPolicyByService.
    """
    policies = []
    for host, port, subset in targets:
        balancer = effective_policy(destination_rule(mesh, proxy, host), port, subset).load_balancer
        if balancer is not None and balancer.consistent_hash is not None:
            policies.append(_hash_policy(balancer.consistent_hash))
    return {"hash_policy": policies} if policies else {}


def _hash_policy(consistent_hash: ConsistentHash) -> Json:
    if consistent_hash.http_header_name is not None:
        return {"header": {"header_name": consistent_hash.http_header_name}}
    if consistent_hash.http_query_parameter_name is not None:
        return {"query_parameter": {"name": consistent_hash.http_query_parameter_name}}
    cookie = consistent_hash.http_cookie
    if cookie is not None:
        optional = {"path": cookie.path, "ttl": duration(cookie.ttl) if cookie.ttl is not None else None}
        return {"cookie": {"name": cookie.name, **{key: value for key, value in optional.items() if value is not None}}}
    return {"connection_properties": {"source_ip": bool(consistent_hash.use_source_ip)}}


def added_headers(replaced: Mapping[str, str], appended: Mapping[str, str]) -> list[Json]:
    """Return the headers that a route sets and adds, without the host: Envoy rewrites it in the route's action."""
    changes = ((replaced, "OVERWRITE_IF_EXISTS_OR_ADD"), (appended, "APPEND_IF_EXISTS_OR_ADD"))
    return [
        {"header": {"key": name, "value": value}, "append_action": action}
        for values, action in changes
        for name, value in sorted(values.items())
        if name.lower() not in AUTHORITY
    ]


def operation_name(host: str, port: int) -> str:
    """Return the name of the spans of a route, in Istio's form."""
    return f"{host}:{port}/*"
