"""Telemetry: access logs and traces of a proxy. Istio: pilot/pkg/model/telemetry.go, telemetry_logging.go."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.observe import records
from bookinfo_lab.observe.requests import Reporter
from bookinfo_lab.resources import conventions, proxy_directory
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.telemetry import AccessLogging, TelemetrySpec
from bookinfo_lab.resources.topology import Gateway, Proxy
from bookinfo_lab.translate import bootstrap
from bookinfo_lab.translate.mesh import Mesh, selects
from bookinfo_lab.translate.names import ROOT_NAMESPACE

Json = dict[str, Any]

Direction = Literal["CLIENT", "SERVER"]

ENVOY_PROVIDER = "envoy"
"""Istio's built-in access log: a line of text on the proxy's standard output."""

SAMPLED = 100.0
"""Percent of requests that a lab's proxies trace where no Telemetry says otherwise."""

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


def observed(mesh: Mesh, proxy: Proxy, direction: Direction) -> Json:
    """What a connection manager of `proxy` records, logs and traces in `direction`."""
    logs = [
        _access_log(logging)
        for logging in access_logging(mesh, proxy)
        if logging.match.mode in ("CLIENT_AND_SERVER", direction) and not logging.disabled
    ]
    if mesh.topology.recorded:
        # Istio: a gateway reports as the source of what it passes on.
        logs.append(_record("source" if direction == "CLIENT" or isinstance(proxy, Gateway) else "destination"))
    share = sampled(mesh, proxy, direction)
    return {
        **({"access_log": logs} if logs else {}),
        **({"tracing": _tracing(share, proxy)} if share is not None else {}),
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
                    error = manifest_errors.access_log_provider_not_found(provider.name, ENVOY_PROVIDER)
                    raise rule.document.error(error, path)
        if rule.spec.access_logging:
            return rule.spec.access_logging
    return ()


def sampled(mesh: Mesh, proxy: Proxy, direction: Direction) -> float | None:
    """The percentage of requests without a caller's decision that `proxy` samples; None: it makes no spans.

    What a Telemetry leaves open the more general one says, and at last the mesh: everything. (Istio's own default is
    1 %.) Every provider is the lab's collector.
    """
    if mesh.topology.collector is None:
        return None
    share, disabled = SAMPLED, False
    for rule in reversed(list(_from_most_specific(mesh, proxy))):
        for tracing in rule.spec.tracing:
            if tracing.match.mode in ("CLIENT_AND_SERVER", direction):
                if tracing.random_sampling_percentage is not None:
                    share = tracing.random_sampling_percentage
                if "disable_span_reporting" in tracing.model_fields_set:
                    disabled = tracing.disable_span_reporting
    return None if disabled else share


def tracing_is_ruled(mesh: Mesh, proxy: Proxy) -> bool:
    """Whether any Telemetry says something of the traces of `proxy`."""
    return any(rule.spec.tracing for rule in _from_most_specific(mesh, proxy))


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


def _record(reporter: Reporter) -> Json:
    record = {**records.FORMAT, records.REPORTER: reporter}
    config = {"@type": _FILE, "path": str(proxy_directory.REQUEST_RECORDS), "log_format": {"json_format": record}}
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def _tracing(share: float, proxy: Proxy) -> Json:
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
        "random_sampling": {"value": share},
        "overall_sampling": {"value": 100},
    }
