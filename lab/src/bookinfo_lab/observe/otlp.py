"""A receiver of traces: OTLP over HTTP with binary protobuf, `POST /v1/traces`."""

import zlib

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bookinfo_lab.observe.spans import MalformedExportError, SpanStore, decode

PATH = "/v1/traces"
MAX_BODY = 8_000_000
_PROTOBUF = "application/x-protobuf"


def receiver(store: SpanStore) -> Starlette:
    """An application that puts what is exported to it into `store`."""

    async def export(request: Request) -> Response:
        if request.headers.get("content-type") != _PROTOBUF:
            return PlainTextResponse(f"send {_PROTOBUF}", status_code=415)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse(f"more than {MAX_BODY} bytes", status_code=413)
        try:
            store.add(decode(_plain(body, request.headers.get("content-encoding", ""))))
        except (MalformedExportError, zlib.error) as error:
            return PlainTextResponse(str(error), status_code=400)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=_PROTOBUF)

    return Starlette(routes=[Route(PATH, export, methods=["POST"])])


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding != "gzip":
        return body
    decompressor = zlib.decompressobj(wbits=31)
    plain = decompressor.decompress(body, MAX_BODY)
    if decompressor.unconsumed_tail:
        raise MalformedExportError(f"more than {MAX_BODY} bytes")
    return plain
