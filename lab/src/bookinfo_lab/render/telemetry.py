"""Telemetry: access logs and traces of a proxy. Istio: pilot/pkg/model/telemetry.go, telemetry_logging.go."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from bookinfo_lab import bootstrap
from bookinfo_lab.model.rules import Rule
from bookinfo_lab.model.telemetry import AccessLogging, TelemetrySpec, Tracing
from bookinfo_lab.render.mesh import Mesh, selects
from bookinfo_lab.render.names import ROOT_NAMESPACE
from bookinfo_lab.topology import Proxy

Json = dict[str, Any]

Direction = Literal["CLIENT", "SERVER"]

ENVOY_PROVIDER = "envoy"
"""Istio's built-in access log: a line of text on the proxy's standard output."""

_STDOUT = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
_EXPRESSION = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_OPENTELEMETRY = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_EXPORT_TIMEOUT = "1s"

# The format that Istio documents: https://istio.io/latest/docs/tasks/observability/logs/access-log/.
_LOG_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)


def observed(mesh: Mesh, proxy: Proxy, direction: Direction) -> Json:
    """What a connection manager of `proxy` logs and traces in `direction`."""
    logs = [
        _access_log(logging)
        for logging in access_logging(mesh, proxy)
        if logging.match.mode in ("CLIENT_AND_SERVER", direction) and not logging.disabled
    ]
    traced = [
        _tracing(tracing, proxy)
        for tracing in tracing_settings(mesh, proxy)
        if tracing.match.mode in ("CLIENT_AND_SERVER", direction) and not tracing.disable_span_reporting
    ]
    return {
        **({"access_log": logs} if logs else {}),
        **({"tracing": traced[0]} if traced and mesh.topology.collector else {}),
    }


def access_logging(mesh: Mesh, proxy: Proxy) -> Sequence[AccessLogging]:
    """The access logs of `proxy`, from the most specific Telemetry that has any.

    Raises ManifestError for a provider that the lab does not have.
    """
    for rule in _from_most_specific(mesh, proxy):
        for index, logging in enumerate(rule.spec.access_logging):
            for number, provider in enumerate(logging.providers):
                if provider.name != ENVOY_PROVIDER:
                    path = ("spec", "accessLogging", index, "providers", number, "name")
                    hint = f"the lab's only one is {ENVOY_PROVIDER}"
                    raise rule.document.error(f"there is no access log provider {provider.name}", path, hint)
        if rule.spec.access_logging:
            return rule.spec.access_logging
    return ()


def tracing_settings(mesh: Mesh, proxy: Proxy) -> Sequence[Tracing]:
    """The tracing of `proxy`, from the most specific Telemetry that has any. Every provider is the lab's collector."""
    return next((rule.spec.tracing for rule in _from_most_specific(mesh, proxy) if rule.spec.tracing), ())


def _from_most_specific(mesh: Mesh, proxy: Proxy) -> Iterator[Rule[TelemetrySpec]]:
    own, namespace, root = [], [], []
    for rule in mesh.rules.telemetries:
        selector = rule.spec.selector
        if rule.namespace == proxy.namespace and selector is not None and selects(selector.match_labels, proxy):
            own.append(rule)
        elif rule.namespace == proxy.namespace and selector is None:
            namespace.append(rule)
        elif rule.namespace == ROOT_NAMESPACE and selector is None:
            root.append(rule)
    yield from (*own, *namespace, *root)


def _access_log(logging: AccessLogging) -> Json:
    rendered: Json = {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {"@type": _STDOUT, "log_format": {"text_format_source": {"inline_string": _LOG_FORMAT}}},
    }
    if logging.filter is not None:
        expression = {"@type": _EXPRESSION, "expression": logging.filter.expression}
        name = "envoy.access_loggers.extension_filters.cel"
        rendered["filter"] = {"extension_filter": {"name": name, "typed_config": expression}}
    return rendered


def _tracing(tracing: Tracing, proxy: Proxy) -> Json:
    share = 1.0 if tracing.random_sampling_percentage is None else tracing.random_sampling_percentage
    service = {
        "http_uri": {
            "uri": "http://collector/v1/traces",
            "cluster": bootstrap.COLLECTOR_CLUSTER,
            "timeout": _EXPORT_TIMEOUT,
        }
    }
    config = {"@type": _OPENTELEMETRY, "http_service": service, "service_name": bootstrap.node(proxy)["cluster"]}
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": config},
        "client_sampling": {"value": 100},
        "random_sampling": {"value": share},
        "overall_sampling": {"value": 100},
    }
