"""Settings of a service: read from the environment once, validated, then handed to whoever needs them."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
"""One part of a host name (RFC 1123; with underscores, which Docker Compose's names have)."""


def _hostname(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        if len(text) > 253 or not all(LABEL.fullmatch(label) for label in text.removesuffix(".").split(".")):
            raise ValueError("neither a host name nor an IP address") from None
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _endpoint(text: str) -> str:
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(_hostname(url.hostname or "")) and url.port != 0
    except ValueError:  # a port that is none, too
        usable = False
    if not usable:
        raise ValueError("not a URL such as http://jaeger:4318")
    return text


def _readable_file(path: str) -> str:
    if not os.access(path, os.R_OK) or not Path(path).is_file():
        raise ValueError("not a file that can be read")
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
"""Of the list in OTEL_EXPORTER_OTLP_HEADERS: https://opentelemetry.io/docs/specs/otel/protocol/exporter/."""

_PROXY = re.compile(r"(http://)?([^/@]*@)?(\[[0-9a-f:.]+\]|[^][/:@\s]+)(:\d{1,5})?(/.*)?", re.IGNORECASE)

MAX_SOCKET_PATH = 107
"""Bytes, on Linux: sun_path has 108 with the final zero (unix(7))."""


class InvalidSettingsError(Exception):
    """A setting has a value that cannot be used. The message is one line that names the variable."""


class ServiceSettings(BaseSettings):
    """What every service reads. A field is set by the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    version: str = Field(
        default="v1",
        validation_alias=AliasChoices("VERSION", "SERVICE_VERSION"),
        description="Which build of the service this is; SERVICE_VERSION is its older name",
    )
    host: Hostname | None = Field(default=None, description="Address to listen on; default: every IPv4 and IPv6 one")
    port: Port = Field(default=9080, description="Port to listen on")
    uds: str | None = Field(default=None, description="Unix socket to listen on, instead of a port")
    hostname: str = Field(default="null", description="The pod's name; Kubernetes sets it")

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Least level logged"
    )
    log_format: Literal["json", "console", "auto"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere"
    )
    access_log: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=0.0, description="Share of requests that are logged, 0 to 1"
    )
    drain_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        default=2.0, description="How long new connections are still served after SIGTERM, while unready"
    )
    upstream_idle_seconds: Seconds = Field(
        default=4.0,
        description="How long an idle connection to another service is kept for reuse; 0: a new one for each call. "
        "Without a mesh a connection is bound to one instance, so reuse also decides how calls spread",
    )

    fault_abort_percent: Percent = Field(default=0.0, description="Share of requests answered with an error on purpose")
    fault_abort_status: Annotated[int, Field(ge=400, le=599)] = Field(default=503, description="Status of that error")
    fault_delay_percent: Percent = Field(default=100.0, description="Share of requests held up by FAULT_DELAY_MS")
    fault_delay_ms: Annotated[int, Field(ge=0, le=600_000)] = Field(
        default=0, description="Delay on purpose, in milliseconds"
    )
    fault_seed: int | None = Field(default=None, description="Seed of the draws, so that a run can be repeated")

    # The standard variables that switch tracing on; OpenTelemetry itself reads the rest of OTEL_*:
    # https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables
    otel_sdk_disabled: bool = Field(default=False, description="Tracing off, whatever else is set")
    otel_traces_exporter: Literal["otlp", "none"] | None = Field(
        default=None, description="Default: otlp if an endpoint is set"
    )
    otel_exporter_otlp_endpoint: Endpoint | None = Field(
        default=None, description="Where traces go, e.g. http://jaeger:4318"
    )
    otel_exporter_otlp_traces_endpoint: Endpoint | None = Field(default=None, description="The same, with its path")
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field(default="http/protobuf", description="The only one")
    otel_exporter_otlp_traces_protocol: Literal["http/protobuf"] = Field(default="http/protobuf", description="Same")
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
    ) = Field(default=None, description="Of requests without a caller's decision; default: all")
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="The share of a ratio sampler"
    )
    # OpenTelemetry would only log that it cannot use one of these, and the headers in full.
    otel_exporter_otlp_headers: SecretStr | None = Field(default=None, description="Sent along, as name=value,…")
    otel_exporter_otlp_traces_headers: SecretStr | None = Field(default=None, description="Same")
    otel_exporter_otlp_timeout: ExportSeconds | None = Field(default=None, description="Seconds for an export")
    otel_exporter_otlp_traces_timeout: ExportSeconds | None = Field(default=None, description="Same")
    otel_exporter_otlp_compression: Compression | None = Field(default=None, description="Of what is exported")
    otel_exporter_otlp_traces_compression: Compression | None = Field(default=None, description="Same")
    otel_exporter_otlp_certificate: ReadableFile | None = Field(default=None, description="Whom to trust, by TLS")
    otel_exporter_otlp_traces_certificate: ReadableFile | None = Field(default=None, description="Same")
    # Encoding holds the interpreter: a batch of 512 (OpenTelemetry's default) adds 15 ms to some request.
    otel_bsp_max_export_batch_size: Annotated[int, Field(ge=1, le=2048)] = Field(
        default=64, description="Spans sent at a time"
    )
    otel_bsp_max_queue_size: Annotated[int, Field(ge=2048)] = Field(
        default=2048, description="Spans that wait at most; more are dropped"
    )
    otel_bsp_schedule_delay: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="Milliseconds between two exports"
    )
    otel_bsp_export_timeout: Annotated[int, Field(ge=1)] = Field(
        default=30_000, description="Milliseconds; OpenTelemetry's SDK for Python takes it and heeds it nowhere"
    )

    @field_validator("uds")
    @classmethod
    def _usable_socket_path(cls, path: str | None) -> str | None:
        if path is not None:
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise ValueError(f"a Unix socket's path has at most {MAX_SOCKET_PATH} bytes")
            if not os.access(Path(path).parent, os.W_OK):
                raise ValueError("its folder does not exist or is not writable")
            if Path(path).exists() and not Path(path).is_socket():
                raise ValueError("there is something else than a socket at this path")
        return path

    @field_validator("otel_exporter_otlp_headers", "otel_exporter_otlp_traces_headers")
    @classmethod
    def _header_list(cls, headers: SecretStr | None) -> SecretStr | None:
        given = headers.get_secret_value().split(",") if headers else []
        if not all(_HEADER.fullmatch(header) for header in given if header.strip()):
            raise ValueError("not a list such as name=value,name=value")
        return headers

    @property
    def exports_traces(self) -> bool:
        """Whether `OTEL_*` switches tracing on."""
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        wanted = self.otel_traces_exporter == "otlp" or (self.otel_traces_exporter is None and endpoint is not None)
        return wanted and not self.otel_sdk_disabled

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment; `overrides` win. Raises `InvalidSettingsError` for the first bad value."""
        _check_proxies(os.environ)
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise InvalidSettingsError(_one_line(cls, error)) from None


def service_url(host: str, port: int, domain: str | None) -> str:
    """The base URL of a service: `domain` is appended to the host name when it is set (SERVICES_DOMAIN)."""
    name = f"{host}.{domain}" if domain else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _check_proxies(environ: Mapping[str, str]) -> None:
    """What the transport cannot use would otherwise fail with the first call. A password in it is not told."""
    for name in ("http_proxy", "https_proxy"):
        variable = name if name in environ else name.upper()  # the lower-case spelling wins, as for curl
        value = environ.get(variable, "")
        if value and not _PROXY.fullmatch(value):
            raise InvalidSettingsError(f"{variable}: not the URL of an HTTP proxy: write it like http://proxy:3128")


def _one_line(settings: type[ServiceSettings], error: ValidationError) -> str:
    """`VARIABLE: what is wrong (got 'value')` for the first error; a secret's value is not told."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    field = settings.model_fields.get(name)
    secret = field is not None and SecretStr in (field.annotation, *get_args(field.annotation))
    if name == "VERSION" and not os.environ.get(name):  # pydantic tells the first of a setting's names
        name = "SERVICE_VERSION"
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"{name.upper()}: {reason[:1].lower()}{reason[1:]}" + ("" if secret else f" (got {first['input']!r:.80})")
