"""What of tracing needs OpenTelemetry's SDK, whose import takes a quarter of a second: only where traces are wanted."""

import os
import re
import sys

from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from bookinfo_chassis.settings import ServiceSettings

__all__ = ["RandomIdGenerator", "configured_sampler", "instrument", "provider"]

SWITCH_SECONDS = 0.0005
"""How long a request waits for the interpreter while the exporter holds it; Python's default is 5 ms."""

_CONVENTIONS = "OTEL_SEMCONV_STABILITY_OPT_IN"
_HOST = re.compile(r"\[?([0-9a-f:.]+(?=\])|[^][:]+)\]?(?::(\d{1,5}))?", re.IGNORECASE)
_CREDENTIAL = re.compile(r"([^&=]*(?:passw|secret|token|jwt|signature)[^&=]*=)[^&]*", re.IGNORECASE)


def provider(service: str, settings: ServiceSettings) -> TracerProvider:
    """Makes spans, all that it is asked for, and sends them in the background to where `OTEL_*` says."""
    sys.setswitchinterval(SWITCH_SECONDS)
    attributes = {"service.name": service, "service.version": settings.version}
    if settings.hostname != "null":
        attributes["service.instance.id"] = settings.hostname
    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins.
    resource = Resource.create(attributes).merge(OTELResourceDetector().detect())
    made = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)  # the service does, in time
    made.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(),
            max_queue_size=settings.otel_bsp_max_queue_size,
            max_export_batch_size=settings.otel_bsp_max_export_batch_size,
            schedule_delay_millis=settings.otel_bsp_schedule_delay,
            export_timeout_millis=settings.otel_bsp_export_timeout,
        )
    )
    return made


def configured_sampler() -> Sampler:
    """The one that `OTEL_TRACES_SAMPLER` names: a provider that is given none reads it."""
    return TracerProvider(shutdown_on_exit=False).sampler


def instrument(app: FastAPI, made: TracerProvider) -> None:
    """Have each request of `app` make a server span of `made`, which names the caller's in W3C's headers."""
    opted = [name.strip() for name in os.environ.get(_CONVENTIONS, "").split(",") if name.strip()]
    if not {"http", "http/dup"} & set(opted):
        os.environ[_CONVENTIONS] = ",".join(["http", *opted])  # contrib writes the old names otherwise
    set_global_textmap(TraceContextTextMapPropagator())  # the gate has said all else in these terms
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=made, exclude_spans=["receive", "send"], excluded_urls="", server_request_hook=_correct
    )


def _correct(span: Span, scope: Scope) -> None:
    """Say whom the caller asked for, where contrib tells of the socket, and no credential that stands in the query.

    https://opentelemetry.io/docs/specs/semconv/http/http-spans/#setting-serveraddress-and-serverport-attributes
    """
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    if found := _HOST.fullmatch(host):
        span.set_attribute("server.address", found[1])
        span.set_attribute("server.port", int(found[2] or 80))
    if scope["query_string"]:
        span.set_attribute("url.query", _CREDENTIAL.sub(r"\1REDACTED", scope["query_string"].decode("latin-1")))
