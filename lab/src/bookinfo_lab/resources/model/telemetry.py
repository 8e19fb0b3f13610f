"""`telemetry.istio.io/v1`: what the lab implements of Telemetry, and of the EnvoyFilter for a local rate limit.

Fields and defaults: https://istio.io/latest/docs/reference/config/telemetry/.
"""

# ruff: noqa: RUF012  # pydantic copies a default for each object

from typing import Any, Literal

from bookinfo_lab.resources.model.base import PolicySelector, Spec


class Provider(Spec):
    name: str


class WorkloadMode(Spec):
    mode: Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"] = "CLIENT_AND_SERVER"


class AccessLogFilter(Spec):
    expression: str


class AccessLogging(Spec):
    match: WorkloadMode = WorkloadMode()
    providers: tuple[Provider, ...] = ()
    disabled: bool = False
    filter: AccessLogFilter | None = None


class Tracing(Spec):
    match: WorkloadMode = WorkloadMode()
    providers: tuple[Provider, ...] = ()
    random_sampling_percentage: float | None = None
    disable_span_reporting: bool = False


class TelemetrySpec(Spec):
    selector: PolicySelector | None = None
    access_logging: tuple[AccessLogging, ...] = ()
    tracing: tuple[Tracing, ...] = ()


# EnvoyFilter (networking.istio.io/v1alpha3), for the local rate limit's shape only


class SubFilterMatch(Spec):
    name: str


class FilterMatchFilter(Spec):
    name: str
    sub_filter: SubFilterMatch | None = None


class FilterMatchChain(Spec):
    filter: FilterMatchFilter | None = None


class FilterMatchListener(Spec):
    filter_chain: FilterMatchChain | None = None


class RouteMatch(Spec):
    action: Literal["ANY", "ROUTE"] = "ANY"
    name: str | None = None


class VirtualHostMatch(Spec):
    name: str | None = None
    route: RouteMatch | None = None


class RouteConfigurationMatch(Spec):
    vhost: VirtualHostMatch | None = None


class PatchMatch(Spec):
    context: Literal["SIDECAR_INBOUND", "GATEWAY"]
    listener: FilterMatchListener | None = None
    route_configuration: RouteConfigurationMatch | None = None


class Patch(Spec):
    operation: Literal["INSERT_BEFORE", "INSERT_FIRST", "MERGE"]
    value: dict[str, Any]


class ConfigPatch(Spec):
    apply_to: Literal["HTTP_FILTER", "HTTP_ROUTE", "VIRTUAL_HOST"]
    match: PatchMatch
    patch: Patch


class FilterSelector(Spec):
    labels: dict[str, str] = {}


class EnvoyFilterSpec(Spec):
    workload_selector: FilterSelector | None = None
    config_patches: tuple[ConfigPatch, ...] = ()
