"""Logs on stdout: one line per event, as JSON or as text for a terminal, with the ids of the request and the trace."""

import json
import logging
import logging.config
import sys
import time
from typing import Any

from opentelemetry import trace

from bookinfo_chassis import trace_context
from bookinfo_chassis.propagation import propagated_header, propagated_headers
from bookinfo_chassis.settings import ServiceSettings


def trace_ids() -> tuple[str | None, str | None]:
    """Return the trace id and span id of the current request. An unsampled request has those of its caller."""
    span = trace.get_current_span()
    if span.is_recording():
        context = span.get_span_context()
        return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    caller = trace_context.read(propagated_headers())
    return caller.trace_id.decode() or None, caller.span_id.decode() or None


def trace_id() -> str | None:
    """Return the trace id of the current request as 16 or 32 hexadecimal digits."""
    return trace_ids()[0]


class ContextFilter(logging.Filter):
    """Adds the service, its version and the ids of the current request to a record."""

    def __init__(self, service: str, version: str) -> None:
        super().__init__()
        self._service = service
        self._version = version

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self._service
        record.version = self._version
        record.request_id = propagated_header(b"x-request-id")
        record.trace_id, record.span_id = trace_ids()
        return True


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("service", "version", "request_id", "trace_id", "span_id"):
            if value := getattr(record, name, None):
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class ConsoleFormatter(logging.Formatter):
    """Formats a record as text: time, level, message, and the trace id if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        trace_id = getattr(record, "trace_id", None)
        return f"{text}  trace={trace_id}" if trace_id else text


def configure_logging(service: str, settings: ServiceSettings) -> None:
    """Write all logs to stdout in the format and with the level of the settings."""
    use_text = settings.log_format == "console" or (settings.log_format == "auto" and sys.stdout.isatty())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"context": {"()": ContextFilter, "service": service, "version": settings.version}},
            "formatters": {
                "json": {"()": JsonFormatter},
                "console": {"()": ConsoleFormatter, "format": "%(asctime)s %(levelname)-7s %(message)s"},
            },
            "handlers": {
                "stdout": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "console" if use_text else "json",
                    "filters": ["context"],
                }
            },
            "root": {"level": settings.log_level.upper(), "handlers": ["stdout"]},
            "loggers": {"uvicorn.error": {"level": "WARNING"}},
        }
    )
