"""Telemetry: the access logs and traces of a proxy.

Istio: pilot/pkg/model/telemetry.go, telemetry_logging.go.
"""

from collections.abc import Sequence
from typing import Any, Literal

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.observe import records
from bookinfo_lab.observe.requests import Reporter
from bookinfo_lab.resources import conventions, proxy_directory
from bookinfo_lab.resources.model.telemetry import AccessLogging
from bookinfo_lab.resources.topology import Gateway, Proxy
from bookinfo_lab.translate import bootstrap
from bookinfo_lab.translate.selection import from_most_specific
from bookinfo_lab.translate.snapshot import MeshSnapshot

Json = dict[str, Any]

Direction = Literal["CLIENT", "SERVER"]

ENVOY_PROVIDER = "envoy"
"""Istio's built-in access log provider: one line of text per request on the proxy's standard output."""

DEFAULT_SAMPLING_PERCENTAGE = 100.0
"""The share of requests that proxies trace if no Telemetry sets one. (Istio's own default is 1 %.)"""

_FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
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


def connection_manager_settings(mesh: MeshSnapshot, proxy: Proxy, direction: Direction) -> Json:
    """Return the `access_log` and `tracing` fields of a connection manager of `proxy` for one direction."""
    logs = [
        _access_log(logging)
        for logging in access_logging(mesh, proxy)
        if logging.match.mode in ("CLIENT_AND_SERVER", direction) and not logging.disabled
    ]
    if mesh.topology.recorded:
        # Istio: a gateway reports as the source of the requests that it forwards.
        logs.append(_request_record("source" if direction == "CLIENT" or isinstance(proxy, Gateway) else "destination"))
    percentage = sampling_percentage(mesh, proxy, direction)
    return {
        **({"access_log": logs} if logs else {}),
        **({"tracing": _tracing(percentage, proxy)} if percentage is not None else {}),
    }


def access_logging(mesh: MeshSnapshot, proxy: Proxy) -> Sequence[AccessLogging]:
    """Return the access logs of `proxy`: those of the most specific Telemetry that configures any.

    Raises ManifestError for an unsupported provider.
    """
    for rule in from_most_specific(mesh.rules.telemetries, proxy):
        for index, logging in enumerate(rule.spec.access_logging):
            for number, provider in enumerate(logging.providers):
                if provider.name != ENVOY_PROVIDER:
                    path = ("spec", "accessLogging", index, "providers", number, "name")
                    error = manifest_errors.access_log_provider_not_found(provider.name, ENVOY_PROVIDER)
                    raise rule.document.error(error, path)
        if rule.spec.access_logging:
            return rule.spec.access_logging
    return ()


def sampling_percentage(mesh: MeshSnapshot, proxy: Proxy, direction: Direction) -> float | None:
    """Return the percentage of requests without a sampling decision that `proxy` samples; None if it sends no spans.

    A field that a Telemetry does not set is inherited from the next more general one. Every tracing provider is the
    lab's collector.
    """
    if mesh.topology.collector is None:
        return None
    percentage, disabled = DEFAULT_SAMPLING_PERCENTAGE, False
    for rule in reversed(from_most_specific(mesh.rules.telemetries, proxy)):
        for tracing in rule.spec.tracing:
            if tracing.match.mode in ("CLIENT_AND_SERVER", direction):
                if tracing.random_sampling_percentage is not None:
                    percentage = tracing.random_sampling_percentage
                if "disable_span_reporting" in tracing.model_fields_set:
                    disabled = tracing.disable_span_reporting
    return None if disabled else percentage


def configures_tracing(mesh: MeshSnapshot, proxy: Proxy) -> bool:
    """Return whether a Telemetry that applies to `proxy` configures tracing."""
    return any(rule.spec.tracing for rule in from_most_specific(mesh.rules.telemetries, proxy))


def _access_log(logging: AccessLogging) -> Json:
    log: Json = {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {"@type": _STDOUT, "log_format": {"text_format_source": {"inline_string": _LOG_FORMAT}}},
    }
    if logging.filter is not None:
        expression = {"@type": _EXPRESSION, "expression": logging.filter.expression}
        name = "envoy.access_loggers.extension_filters.cel"
        log["filter"] = {"extension_filter": {"name": name, "typed_config": expression}}
    return log


def _request_record(reporter: Reporter) -> Json:
    """Return the access log that records each request for the lab itself."""
    record = {**records.FORMAT, records.REPORTER: reporter}
    config = {"@type": _FILE, "path": str(proxy_directory.REQUEST_RECORDS), "log_format": {"json_format": record}}
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def _tracing(percentage: float, proxy: Proxy) -> Json:
    service = {
        "http_uri": {
            "uri": f"http://{conventions.COLLECTOR}/v1/traces",
            "cluster": conventions.COLLECTOR,
            "timeout": _EXPORT_TIMEOUT,
        }
    }
    config = {"@type": _OPENTELEMETRY, "http_service": service, "service_name": bootstrap.node(proxy)["cluster"]}
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": config},
        "client_sampling": {"value": 100},
        "random_sampling": {"value": percentage},
        "overall_sampling": {"value": 100},
    }
