"""What a lab knows of its own traffic, and the one address at which it is told and asked: spans in, metrics out."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bookinfo_lab.observe.istio_metrics import MeshMetrics
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.observe.span_forwarder import Onward
from bookinfo_lab.observe.spans import SpanStore
from bookinfo_lab.resources.conventions import COLLECTOR, METRICS_PATH, OTLP_PORT
from bookinfo_lab.resources.topology import Topology

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_KEEP_ALIVE_SECONDS = 4000
"""Longer than an Envoy keeps an idle connection (an hour): it would lose the spans that it is about to send."""


class Telemetry:
    """The traces, the requests and the metrics of one lab."""

    def __init__(self, listener: socket.socket, onward: Onward | None = None) -> None:
        """`listener` takes connections already; nobody is answered before `serve`. `onward` gets all spans as well."""
        self.spans = SpanStore()
        self.requests = RequestLog()
        self.metrics = MeshMetrics()
        self.requests.subscribe(self.metrics.observe)
        self._listener = listener
        self._onward = onward

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._listener.getsockname()
        return host, port

    @property
    def url(self) -> str:
        """The base of `/v1/traces`, `/metrics` and `/targets`."""
        return "http://{}:{}".format(*self.address)

    async def serve(self, topology: Callable[[], Topology]) -> None:
        """Take spans, and tell metrics and whom else to ask for theirs, until the task is cancelled."""
        import uvicorn
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route

        from bookinfo_lab.observe import istio_metrics, otlp, prometheus
        from bookinfo_lab.server import Server

        async def metrics(_: Request) -> Response:
            return Response(self.metrics.exposition(), headers={"content-type": istio_metrics.CONTENT_TYPE})

        async def targets(_: Request) -> Response:
            return JSONResponse(prometheus.targets(topology()))

        routes = [Route(METRICS_PATH, metrics), Route(prometheus.TARGETS_PATH, targets)]
        receiver = otlp.receiver(self.spans, self._onward.take if self._onward else None)
        app = Guard(Starlette(routes=[receiver, *routes]))
        config = uvicorn.Config(
            app, log_config=None, lifespan="off", ws="none", timeout_keep_alive=_KEEP_ALIVE_SECONDS, access_log=False
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Server(config, self._listener).run_until_cancelled())
            if self._onward:
                tasks.create_task(self._onward.run())

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


class Guard:
    """Lets programs and their user through to `app`, not the pages of other sites in the user's browser."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        from starlette.responses import PlainTextResponse

        app = self._app if _is_ours(dict(scope["headers"])) else PlainTextResponse("no other site may ask\n", 403)
        await app(scope, receive, send)


def _is_ours(headers: Mapping[bytes, bytes]) -> bool:
    """Whether no page sent this: see `bookinfo_lab.watch.guard`. None is served here that could have an origin."""
    site = headers.get(b"sec-fetch-site", b"none")
    return b"origin" not in headers and site in (b"none", b"same-origin") and _is_our_host(headers.get(b"host", b""))


def _is_our_host(host: bytes) -> bool:
    """By address, or by the name that the lab's Envoys say; any other may be a site's that points here."""
    name = host.decode("latin-1").rpartition(":")[0] or host.decode("latin-1")
    try:
        return name == COLLECTOR or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def listen(address: str, onward: Onward | None = None) -> Telemetry:
    """Telemetry at an address that nobody has. Raises OSError."""
    try:
        return Telemetry(_listener(address, OTLP_PORT), onward)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return Telemetry(_listener(address, 0), onward)


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
