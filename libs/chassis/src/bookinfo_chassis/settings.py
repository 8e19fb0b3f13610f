"""The settings of a service. Only this module and its subclasses read the environment, once, at the start."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from bookinfo_chassis.proxies import Proxies

LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
"""A label of a host name (RFC 1123), or with underscores, as in the names of Docker Compose."""


def _hostname(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        if len(text) > 253 or not all(LABEL.fullmatch(label) for label in text.removesuffix(".").split(".")):
            raise ValueError("expected a host name or an IP address") from None
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _endpoint(text: str) -> str:
    try:
        url = urlsplit(text)
        valid = url.scheme in ("http", "https") and bool(_hostname(url.hostname or "")) and url.port != 0
    except ValueError:  # for example an invalid port
        valid = False
    if not valid:
        raise ValueError("expected a URL such as http://jaeger:4318")
    return text


def _readable_file(path: str) -> str:
    if not os.access(path, os.R_OK) or not Path(path).is_file():
        raise ValueError("expected a readable file")
    return path


Hostname = Annotated[str, AfterValidator(_hostname)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
ReadableFile = Annotated[str, AfterValidator(_readable_file)]
Compression = Literal["none", "gzip", "deflate"]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]

ExportSeconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]

_HEADER = re.compile(r"\s*[!#-'*+.\-0-9A-Z^-z|~]+\s*=[\t !#-+\--:<-\[\]-~]*")
"""An entry of OTEL_EXPORTER_OTLP_HEADERS: https://opentelemetry.io/docs/specs/otel/protocol/exporter/."""

_PROXY = re.compile(r"(http://)?([^/@]*@)?(\[[0-9a-f:.]+\]|[^][/:@\s]+)(:\d{1,5})?(/.*)?", re.IGNORECASE)

MAX_SOCKET_PATH = 107
"""Bytes on Linux. sun_path has 108 bytes with the final zero (unix(7))."""


class InvalidSettingsError(Exception):
    """A setting is invalid. The message is one line that starts with the variable."""


class ServiceSettings(BaseSettings):
    """The settings of every service. The environment variable of a field has its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    version: str = Field(
        default="v1",
        validation_alias=AliasChoices("VERSION", "SERVICE_VERSION"),
        description="Version of the service; SERVICE_VERSION is the older name of this variable",
    )
    host: Hostname | None = Field(
        default=None, description="Address to listen on; default: all IPv4 and IPv6 addresses"
    )
    port: Port = Field(default=9080, description="Port to listen on")
    uds: str | None = Field(default=None, description="Unix socket to listen on, instead of a port")
    hostname: str = Field(default="null", description="Name of the pod; set by Kubernetes")

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Lowest level that is logged"
    )
    log_format: Literal["json", "console", "auto"] = Field(
        default="auto", description="auto: console on a terminal, otherwise json"
    )
    access_log: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=0.0, description="Share of requests that are logged, 0 to 1"
    )
    drain_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        default=2.0, description="How long a service accepts new connections after SIGTERM, while it is unready"
    )
    upstream_idle_seconds: Seconds = Field(
        default=4.0,
        description="How long an idle connection to another service is kept for reuse; 0: one connection per call. "
        "Without a mesh, a connection leads to one pod, so reuse also affects load balancing",
    )

    # The optimizations of bookinfo_chassis/fastpath, explained in its README.md.
    fast_path_transport: bool = Field(default=True, description="Use the chassis' transport instead of httpx's")
    fast_path_routes: bool = Field(default=True, description="Bypass FastAPI's validation for valid GET requests")
    fast_path_sampling_gate: bool = Field(
        default=True, description="Bypass OpenTelemetry's instrumentation for requests that are not sampled"
    )

    fault_abort_percent: Percent = Field(default=0.0, description="Share of requests that return an injected error")
    fault_abort_status: Annotated[int, Field(ge=400, le=599)] = Field(
        default=503, description="Status of the injected error"
    )
    fault_delay_percent: Percent = Field(default=100.0, description="Share of requests that FAULT_DELAY_MS applies to")
    fault_delay_ms: Annotated[int, Field(ge=0, le=600_000)] = Field(
        default=0, description="Injected delay in milliseconds"
    )
    fault_seed: int | None = Field(default=None, description="Seed of the random numbers; makes a run reproducible")

    # OpenTelemetry's standard variables. OpenTelemetry itself reads those that are not listed here:
    # https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables
    otel_sdk_disabled: bool = Field(default=False, description="Switches tracing off, regardless of other settings")
    otel_traces_exporter: Literal["otlp", "none"] | None = Field(
        default=None, description="Default: otlp if an endpoint is set, otherwise none"
    )
    otel_exporter_otlp_endpoint: Endpoint | None = Field(
        default=None, description="URL of the collector, for example http://jaeger:4318"
    )
    otel_exporter_otlp_traces_endpoint: Endpoint | None = Field(default=None, description="The same, with the path")
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf", description="The only supported protocol"
    )
    otel_exporter_otlp_traces_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf", description="The same"
    )
    otel_traces_sampler: (
        Literal[
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ]
        | None
    ) = Field(default=None, description="Sampler for requests without a decision of the caller; default: all")
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="Share of a ratio sampler, 0 to 1"
    )
    # Validated here because OpenTelemetry only logs an invalid value of these, with the headers in clear text.
    otel_exporter_otlp_headers: SecretStr | None = Field(
        default=None, description="Headers for the collector, as name=value,…"
    )
    otel_exporter_otlp_traces_headers: SecretStr | None = Field(default=None, description="The same")
    otel_exporter_otlp_timeout: ExportSeconds | None = Field(
        default=None, description="Time limit of an export in seconds"
    )
    otel_exporter_otlp_traces_timeout: ExportSeconds | None = Field(default=None, description="The same")
    otel_exporter_otlp_compression: Compression | None = Field(default=None, description="Compression of exports")
    otel_exporter_otlp_traces_compression: Compression | None = Field(default=None, description="The same")
    otel_exporter_otlp_certificate: ReadableFile | None = Field(
        default=None, description="PEM file with the trusted CA"
    )
    otel_exporter_otlp_traces_certificate: ReadableFile | None = Field(default=None, description="The same")
    # The exporter holds the interpreter while it encodes: a batch of 512 spans, the default, delays a request by 15 ms.
    otel_bsp_max_export_batch_size: Annotated[int, Field(ge=1, le=2048)] = Field(
        default=64, description="Spans per export"
    )
    otel_bsp_max_queue_size: Annotated[int, Field(ge=2048)] = Field(
        default=2048, description="Spans that wait for export; further spans are dropped"
    )
    otel_bsp_schedule_delay: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="Time between two exports in milliseconds"
    )
    otel_bsp_export_timeout: Annotated[int, Field(ge=1)] = Field(
        default=30_000, description="Milliseconds; OpenTelemetry's SDK for Python accepts and ignores it"
    )
    otel_semconv_stability_opt_in: str = Field(
        default="", description="Semantic conventions to opt into; http is always added"
    )

    _proxies: Proxies = PrivateAttr(default_factory=lambda: Proxies(os.environ))

    @field_validator("uds")
    @classmethod
    def _usable_socket_path(cls, path: str | None) -> str | None:
        if path is not None:
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise ValueError(f"expected a path of at most {MAX_SOCKET_PATH} bytes")
            if not os.access(Path(path).parent, os.W_OK):
                raise ValueError("its directory does not exist or is not writable")
            if Path(path).exists() and not Path(path).is_socket():
                raise ValueError("the path exists and is not a socket")
        return path

    @field_validator("otel_exporter_otlp_headers", "otel_exporter_otlp_traces_headers")
    @classmethod
    def _header_list(cls, headers: SecretStr | None) -> SecretStr | None:
        entries = headers.get_secret_value().split(",") if headers else []
        if not all(_HEADER.fullmatch(entry) for entry in entries if entry.strip()):
            raise ValueError("expected a list such as name=value,name=value")
        return headers

    @property
    def exports_traces(self) -> bool:
        """Whether the `OTEL_*` variables switch tracing on."""
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        enabled = self.otel_traces_exporter == "otlp" or (self.otel_traces_exporter is None and endpoint is not None)
        return enabled and not self.otel_sdk_disabled

    @property
    def proxies(self) -> Proxies:
        """The HTTP proxies for calls to other services."""
        return self._proxies

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment. `overrides` take precedence. Raises `InvalidSettingsError` for the first error."""
        _check_proxies(os.environ)
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise InvalidSettingsError(_one_line(cls, error)) from None


def service_url(host: str, port: int, domain: str | None) -> str:
    """Return the base URL of a service. `domain` (SERVICES_DOMAIN) is appended to the host name."""
    name = f"{host}.{domain}" if domain else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _check_proxies(environ: Mapping[str, str]) -> None:
    """Raise `InvalidSettingsError` for a proxy that the transport does not support.

    Without this check the first call would fail. The error does not show the value: it may contain a password.
    """
    for name in ("http_proxy", "https_proxy"):
        variable = name if name in environ else name.upper()  # the lower-case spelling wins, as for curl
        value = environ.get(variable, "")
        if value and not _PROXY.fullmatch(value):
            raise InvalidSettingsError(f"{variable}: expected the URL of an HTTP proxy such as http://proxy:3128")


def _one_line(settings: type[ServiceSettings], error: ValidationError) -> str:
    """Return `VARIABLE: error (got 'value')` for the first error. The value of a secret is not shown."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    field = settings.model_fields.get(name)
    secret = field is not None and SecretStr in (field.annotation, *get_args(field.annotation))
    if name == "VERSION" and not os.environ.get(name):  # pydantic reports the first alias
        name = "SERVICE_VERSION"
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"{name.upper()}: {reason[:1].lower()}{reason[1:]}" + ("" if secret else f" (got {first['input']!r:.80})")
