"""What a lab knows of its own traffic, and the one address at which it is told and asked: spans in, metrics out."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from bookinfo_lab.observe.istio_metrics import MeshMetrics
from bookinfo_lab.observe.requests import RequestLog
from bookinfo_lab.observe.span_forwarder import Onward
from bookinfo_lab.observe.spans import SpanStore
from bookinfo_lab.resources.conventions import COLLECTOR, METRICS_PATH, OTLP_PORT
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.same_site import Sender

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
    """Rejects requests that pages of other sites send in the user's browser. Programs and the user have access."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle one request."""
        from starlette.responses import PlainTextResponse

        allowed = _is_allowed(Sender.of(scope["headers"]))
        app = self._app if allowed else PlainTextResponse("requests from other sites are not allowed\n", 403)
        await app(scope, receive, send)


def _is_allowed(sender: Sender) -> bool:
    """Return whether no page sent the request. This server has no page, so a request with an origin is from another."""
    return not sender.origins and sender.is_same_site and _is_own_host(sender.host_name)


def _is_own_host(name: str) -> bool:
    """Return whether `name` is an IP address, or the name that the lab's Envoys use.

    A site can resolve any other name to this server.
    """
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
