"""OpenTelemetry's protocol over HTTP with binary protobuf: a receiver of traces, `POST /v1/traces`.

https://opentelemetry.io/docs/specs/otlp/
"""

import re
import zlib
from collections.abc import Callable, Iterable, Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bookinfo_lab.observe.spans import Event, Kind, Span, SpanStore, Value

PATH = "/v1/traces"
MAX_BODY = 8_000_000
_PROTOBUF = "application/x-protobuf"
_KEPT = ("content-type", "content-encoding")

_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}
"""Protobuf's other wire types, and their bytes: https://protobuf.dev/programming-guides/encoding/#structure."""

_KINDS: Mapping[int, Kind] = {
    trace_pb2.Span.SPAN_KIND_INTERNAL: "internal",
    trace_pb2.Span.SPAN_KIND_SERVER: "server",
    trace_pb2.Span.SPAN_KIND_CLIENT: "client",
    trace_pb2.Span.SPAN_KIND_PRODUCER: "producer",
    trace_pb2.Span.SPAN_KIND_CONSUMER: "consumer",
}


class MalformedExportError(ValueError):
    """A body that is no ExportTraceServiceRequest."""


def decode(body: bytes) -> list[Span]:
    """The spans of one export in binary protobuf. Raises `MalformedExportError`."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        try:
            repaired = bytearray(body)
            _repair(memoryview(repaired), ExportTraceServiceRequest.DESCRIPTOR)
            request = ExportTraceServiceRequest.FromString(bytes(repaired))
        except (DecodeError, IndexError, RecursionError) as error:
            raise MalformedExportError(f"not an OTLP trace export: {error}") from error
    return [
        _span(span, resource)
        for resource_spans in request.resource_spans
        for resource in (_attributes(resource_spans.resource.attributes),)
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def _repair(message: memoryview, kind: Descriptor) -> None:
    """Leave only what is ASCII of each string in a message that is not UTF-8, which keeps its length.

    Envoy writes a browser's user agent as it came; one such span would cost all those that are sent with it. Raises
    IndexError where the message breaks off.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            length, at = _varint(message, at)
            field, value = kind.fields_by_number.get(tag >> 3), message[at : at + length]
            if field and field.message_type:
                _repair(value, field.message_type)
            elif field and field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(bytes(value)):
                value[:] = re.sub(rb"[\x80-\xff]", b"?", bytes(value))
            at += length
        elif wire_type == _VARINT:
            _, at = _varint(message, at)
        else:
            at += _FIXED.get(wire_type, len(message))


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at that place, and the place after it."""
    number = shift = 0
    while message[at] & 0x80:
        number |= (message[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | message[at] << shift, at + 1


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _span(span: trace_pb2.Span, resource: Mapping[str, Value]) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=_KINDS.get(span.kind, "unspecified"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=tuple(Event(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in span.events),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "int_value", "double_value", "bool_value"):
        plain: Value = getattr(value, kind)
        return plain
    return str(value).strip()


def receiver(store: SpanStore, onward: Callable[[bytes, Mapping[str, str]], None] | None = None) -> Route:
    """Where spans are exported to, which go into `store`; `onward` takes each body as it came, and its headers."""

    async def export(request: Request) -> Response:
        if request.headers.get("content-type") != _PROTOBUF:
            return PlainTextResponse(f"send {_PROTOBUF}", status_code=415)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse(f"more than {MAX_BODY} bytes", status_code=413)
        try:
            spans = decode(_plain(body, request.headers.get("content-encoding", "")))
        except (MalformedExportError, zlib.error) as error:
            return PlainTextResponse(str(error), status_code=400)
        valid = [span for span in spans if _valid(span.trace_id, 32) and _valid(span.span_id, 16)]
        store.add(valid)
        if onward:
            onward(body, {name: request.headers[name] for name in _KEPT if name in request.headers})
        return Response(_answer(len(spans) - len(valid)).SerializeToString(), media_type=_PROTOBUF)

    return Route(PATH, export, methods=["POST"])


def _valid(identity: str, digits: int) -> bool:
    """https://www.w3.org/TR/trace-context/#trace-id: so many, and not all zero."""
    return len(identity) == digits and bool(identity.strip("0"))


def _answer(rejected: int) -> ExportTraceServiceResponse:
    """https://opentelemetry.io/docs/specs/otlp/#partial-success: an exporter logs what was not taken."""
    if not rejected:
        return ExportTraceServiceResponse()
    told = ExportTracePartialSuccess(rejected_spans=rejected, error_message="without a valid trace id and span id")
    return ExportTraceServiceResponse(partial_success=told)


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding != "gzip":
        return body
    decompressor = zlib.decompressobj(wbits=31)
    plain = decompressor.decompress(body, MAX_BODY)
    if decompressor.unconsumed_tail:
        raise MalformedExportError(f"more than {MAX_BODY} bytes")
    return plain
