"""What a lab knows of its own traffic, and the one address at which it is told and asked: spans in, metrics out."""

import errno
import socket

from bookinfo_lab.observe.istio_metrics import MeshMetrics
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.observe.spans import SpanStore

OTLP_PORT = 4318
"""OpenTelemetry's own for HTTP. Where a collector on this machine has it at every address, any other is taken."""

METRICS_PATH = "/metrics"

_KEEP_ALIVE_SECONDS = 4000
"""Longer than an Envoy keeps an idle connection (an hour): it would lose the spans that it is about to send."""


class Telemetry:
    """The traces, the requests and the metrics of one lab."""

    def __init__(self, listener: socket.socket) -> None:
        """`listener` takes connections already; nobody is answered before `serve`."""
        self.spans = SpanStore()
        self.requests = RequestLog()
        self.metrics = MeshMetrics()
        self.requests.subscribe(self.metrics.observe)
        self._listener = listener

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._listener.getsockname()
        return host, port

    @property
    def url(self) -> str:
        """The base of `/v1/traces` and of `/metrics`."""
        return "http://{}:{}".format(*self.address)

    async def serve(self) -> None:
        """Take spans and tell metrics until the task is cancelled."""
        import uvicorn
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import Response
        from starlette.routing import Route

        from bookinfo_lab.control import ControlServer
        from bookinfo_lab.observe import istio_metrics, otlp

        async def metrics(_: Request) -> Response:
            return Response(self.metrics.exposition(), headers={"content-type": istio_metrics.CONTENT_TYPE})

        app = Starlette(routes=[otlp.receiver(self.spans), Route(METRICS_PATH, metrics)])
        config = uvicorn.Config(
            app, log_config=None, lifespan="off", ws="none", timeout_keep_alive=_KEEP_ALIVE_SECONDS, access_log=False
        )
        await ControlServer(config, self._listener).run_until_cancelled()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


def listen(address: str) -> Telemetry:
    """Telemetry at an address that nobody has. Raises OSError."""
    try:
        return Telemetry(_listener(address, OTLP_PORT))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return Telemetry(_listener(address, 0))


def _listener(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
