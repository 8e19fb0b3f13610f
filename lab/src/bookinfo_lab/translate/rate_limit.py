"""EnvoyFilter, supported only for a local rate limit, for which Istio has no API of its own.

https://istio.io/latest/docs/tasks/policy-enforcement/rate-limit/. Every filter chain contains the filter, inactive. The
patches are applied to routes, so that they affect open connections.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model.rules import Rule, Rules
from bookinfo_lab.resources.model.telemetry import ConfigPatch, EnvoyFilterSpec
from bookinfo_lab.resources.topology import Gateway, Proxy
from bookinfo_lab.translate.selection import applies_to
from bookinfo_lab.translate.xds import Json

RATE_LIMIT_FILTER = "envoy.filters.http.local_ratelimit"

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_STRUCTS = ("type.googleapis.com/udpa.type.v1.TypedStruct", "type.googleapis.com/xds.type.v3.TypedStruct")
_HCM = "envoy.filters.network.http_connection_manager"
_ROUTER = "envoy.filters.http.router"


def rate_limit_filter() -> Json:
    """Return the filter, which is inactive until a route configures it."""
    return {"name": RATE_LIMIT_FILTER, "typed_config": {"@type": _TYPE, "stat_prefix": "http_local_rate_limiter"}}


def add_rate_limits(rules: Rules, proxy: Proxy, configurations: Sequence[Json]) -> list[Json]:
    """Return the inbound route configurations of a sidecar, or all of a gateway, with their rate limits.

    Raises ManifestError for any other use of EnvoyFilter, and for a patch that matches no virtual host: Istio would
    silently ignore it.
    """
    patched = list(configurations)
    for rule in rules.envoy_filters:
        for index, patch in enumerate(rule.spec.config_patches):
            rate_limit_patch = _RateLimitPatch(rule, patch, ("spec", "configPatches", index))
            if _applies_to_proxy(rule, patch, proxy):
                patched = rate_limit_patch.apply(patched)
    return patched


def rate_limits(rules: Rules, proxy: Proxy) -> Iterator[tuple[Rule[EnvoyFilterSpec], Json]]:
    """Yield each LocalRateLimit that applies to `proxy`, with its rule."""
    for rule in rules.envoy_filters:
        for index, patch in enumerate(rule.spec.config_patches):
            if _applies_to_proxy(rule, patch, proxy):
                limits = _RateLimitPatch(rule, patch, ("spec", "configPatches", index)).limits
                yield from ((rule, limit) for limit in limits if "token_bucket" in limit)


def _applies_to_proxy(rule: Rule[EnvoyFilterSpec], patch: ConfigPatch, proxy: Proxy) -> bool:
    context = "GATEWAY" if isinstance(proxy, Gateway) else "SIDECAR_INBOUND"
    return patch.match.context == context and applies_to(rule, proxy)


class _RateLimitPatch:
    """One patch of an EnvoyFilter, validated to be a part of a local rate limit."""

    def __init__(self, rule: Rule[EnvoyFilterSpec], patch: ConfigPatch, path: FieldPath) -> None:
        self._rule = rule
        self._patch = patch
        self._path = path
        self._value = (*path, "patch", "value")
        if patch.apply_to == "HTTP_FILTER":
            self._config = self._filter()
        else:
            self._merged = self._merge()

    def apply(self, configurations: Sequence[Json]) -> list[Json]:
        if self._patch.apply_to == "HTTP_FILTER":
            return [self._with_filter(configuration) for configuration in configurations]
        match = self._patch.match.route_configuration
        vhost = match.vhost.name if match and match.vhost else None
        names = [host["name"] for configuration in configurations for host in configuration["virtual_hosts"]]
        if vhost is not None and vhost not in names:
            raise self._rule.document.error(
                manifest_errors.virtual_host_not_found(vhost, names),
                (*self._path, "match", "routeConfiguration", "vhost", "name"),
            )
        return [
            {
                **configuration,
                "virtual_hosts": [
                    self._with_merge(host) if vhost in (None, host["name"]) else host
                    for host in configuration["virtual_hosts"]
                ],
            }
            for configuration in configurations
        ]

    @property
    def limits(self) -> list[Json]:
        """Every LocalRateLimit of the patch."""
        return [self._config] if self._patch.apply_to == "HTTP_FILTER" else list(self._merged[1].values())

    def _with_filter(self, configuration: Json) -> Json:
        # A filter without a token bucket is configured by routes.
        if "token_bucket" not in self._config:
            return configuration
        filters = {**configuration.get("typed_per_filter_config", {}), RATE_LIMIT_FILTER: self._config}
        return {**configuration, "typed_per_filter_config": filters}

    def _with_merge(self, host: Json) -> Json:
        limits, filters = self._merged
        if self._patch.apply_to == "VIRTUAL_HOST":
            return {**host, **_with_appended(host, "rate_limits", limits), **_with_filters(host, filters)}
        return {**host, "routes": [self._with_route(route, limits, filters) for route in host["routes"]]}

    def _with_route(self, route: Json, limits: list[Any], filters: Json) -> Json:
        match = self._patch.match.route_configuration
        expected = match.vhost.route if match and match.vhost else None
        if expected is not None and expected.name not in (None, route.get("name")):
            return route
        action = (
            {"route": {**route["route"], **_with_appended(route["route"], "rate_limits", limits)}}
            if "route" in route
            else {}
        )
        return {**route, **action, **_with_filters(route, filters)}

    def _filter(self) -> Json:
        """Return the configuration of the filter that the patch inserts."""
        chain = self._patch.match.listener.filter_chain if self._patch.match.listener else None
        match = chain.filter if chain else None
        before = match.sub_filter.name if match and match.sub_filter else _ROUTER
        if match is None or match.name != _HCM or before != _ROUTER or self._patch.patch.operation == "MERGE":
            raise self._rule.document.error(manifest_errors.unsupported_filter_position(_ROUTER, _HCM), self._path)
        if self._patch.patch.value.get("name") != RATE_LIMIT_FILTER:
            raise self._rule.document.error(manifest_errors.unsupported_filter(RATE_LIMIT_FILTER), self._value)
        return self._limit(self._patch.patch.value.get("typed_config"), (*self._value, "typed_config"))

    def _merge(self) -> tuple[list[Any], Json]:
        """Return what the patch adds to a route or a virtual host: rate limit actions, and filter configurations."""
        value = self._patch.patch.value
        route = value.get("route", {}) if self._patch.apply_to == "HTTP_ROUTE" else value
        filters = value.get("typed_per_filter_config", {})
        known = {"route", "typed_per_filter_config", "rate_limits"}
        if self._patch.patch.operation != "MERGE" or not set(value) | set(route) <= known:
            raise self._rule.document.error(manifest_errors.unsupported_route_patch(), self._value)
        path = (*self._value, "typed_per_filter_config")
        if set(filters) - {RATE_LIMIT_FILTER}:
            raise self._rule.document.error(manifest_errors.unsupported_filter(RATE_LIMIT_FILTER), path)
        return (
            list(route.get("rate_limits", [])),
            {name: self._limit(config, (*path, name)) for name, config in filters.items()},
        )

    def _limit(self, config: Any, path: FieldPath) -> Json:
        """Return a LocalRateLimit. The patch can wrap it in a TypedStruct."""
        wrapped = isinstance(config, Mapping) and config.get("@type") in _STRUCTS
        kind = config.get("type_url" if wrapped else "@type") if isinstance(config, Mapping) else None
        if kind != _TYPE:
            raise self._rule.document.error(manifest_errors.unsupported_filter_type(_TYPE.rpartition(".")[2]), path)
        content = config.get("value", {}) if wrapped else config
        limit = {name: value for name, value in content.items() if name != "@type"}
        if "response_headers_to_add" in limit:
            limit["response_headers_to_add"] = list(_current_headers(limit["response_headers_to_add"]))
        return {"@type": _TYPE, **limit}


def _with_appended(owner: Json, name: str, values: list[Any]) -> Json:
    return {name: [*owner.get(name, []), *values]} if values else {}


def _with_filters(owner: Json, filters: Json) -> Json:
    name = "typed_per_filter_config"
    return {name: {**owner.get(name, {}), **filters}} if filters else {}


def _current_headers(headers: Sequence[Json]) -> Iterator[Json]:
    """Replace `append`, which Istio's sample uses and Envoy no longer supports, by `append_action`."""
    for header in headers:
        if "append" in header:
            action = "APPEND_IF_EXISTS_OR_ADD" if header["append"] else "OVERWRITE_IF_EXISTS_OR_ADD"
            rest = {name: value for name, value in header.items() if name != "append"}
            yield {**rest, "append_action": action}
        else:
            yield header
