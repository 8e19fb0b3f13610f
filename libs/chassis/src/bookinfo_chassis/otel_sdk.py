"""The parts of tracing that need OpenTelemetry's SDK. Its import takes 0.25 s, so only traced services import it."""

import os
import re
import sys
from collections.abc import Sequence

from fastapi import FastAPI
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes
from starlette.types import Scope

from bookinfo_chassis.settings import ServiceSettings
from bookinfo_chassis.spans import current_tracer

__all__ = ["RandomIdGenerator", "configured_sampler", "create_provider", "instrument"]

SWITCH_SECONDS = 0.0005
"""Python's switch interval: how long a request waits for the interpreter while the exporter's thread holds it.

Python's default is 5 ms.
"""

_HOST = re.compile(r"\[?([0-9a-f:.]+(?=\])|[^][:]+)\]?(?::(\d{1,5}))?", re.IGNORECASE)
_CREDENTIAL = re.compile(r"([^&=]*(?:passw|secret|token|jwt|signature)[^&=]*=)[^&]*", re.IGNORECASE)


class GateSampler(Sampler):
    """Records the spans of a request exactly if the sampling gate has decided to sample it."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        sampler = ALWAYS_OFF if current_tracer.get() is None else ALWAYS_ON
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return "GateSampler"


def create_provider(service: str, settings: ServiceSettings) -> TracerProvider:
    """Return a provider that exports spans in the background to the endpoint of the `OTEL_*` settings."""
    sys.setswitchinterval(SWITCH_SECONDS)
    attributes = {"service.name": service, "service.version": settings.version}
    if settings.hostname != "null":
        attributes["service.instance.id"] = settings.hostname
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override these attributes.
    resource = Resource.create(attributes).merge(OTELResourceDetector().detect())
    # The service shuts the provider down itself, within a time limit.
    provider = TracerProvider(resource=resource, sampler=GateSampler(), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(),
            max_queue_size=settings.otel_bsp_max_queue_size,
            max_export_batch_size=settings.otel_bsp_max_export_batch_size,
            schedule_delay_millis=settings.otel_bsp_schedule_delay,
            export_timeout_millis=settings.otel_bsp_export_timeout,
        )
    )
    return provider


def configured_sampler() -> Sampler:
    """Return the sampler of `OTEL_TRACES_SAMPLER`. A provider without an explicit sampler reads this variable."""
    return TracerProvider(shutdown_on_exit=False).sampler


def instrument(app: FastAPI, provider: TracerProvider, settings: ServiceSettings) -> None:
    """Make each request of `app` create a server span. Its parent is the caller's span in the W3C headers."""
    conventions = [name.strip() for name in settings.otel_semconv_stability_opt_in.split(",") if name.strip()]
    if not {"http", "http/dup"} & set(conventions):  # the instrumentation would write the old attribute names
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = ",".join(["http", *conventions])
    set_global_textmap(TraceContextTextMapPropagator())  # the sampling gate translates all other formats to W3C's
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=provider,
        exclude_spans=["receive", "send"],
        excluded_urls="",
        server_request_hook=_correct_attributes,
    )


def _correct_attributes(span: Span, scope: Scope) -> None:
    """Set the requested host instead of the socket's address, and redact credentials in the query.

    https://opentelemetry.io/docs/specs/semconv/http/http-spans/#setting-serveraddress-and-serverport-attributes
    """
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    if match := _HOST.fullmatch(host):
        span.set_attribute("server.address", match[1])
        span.set_attribute("server.port", int(match[2] or 80))
    if scope["query_string"]:
        span.set_attribute("url.query", _CREDENTIAL.sub(r"\1REDACTED", scope["query_string"].decode("latin-1")))
