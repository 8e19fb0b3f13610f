"""Prometheus metrics: how many requests, how they ended, how long they took."""

import logging
from random import Random
from time import perf_counter

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookinfo_chassis import tracing

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds in seconds: from a leaf's millisecond to the longest time limit in Bookinfo."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Others are counted as one, so that a caller cannot make series. HEAD was made GET before."""

UNOBSERVED = frozenset({"/livez", "/readyz", "/metrics"})

access_log = logging.getLogger("bookinfo.access")


def create_registry() -> CollectorRegistry:
    """A registry of its own for each application, with the process' standard families."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class RequestMetrics:
    """The families of incoming requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("http_requests", "Requests answered", ["method", "route", "status"], registry=registry)
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_flight = 0
        # Read at a scrape: moving a gauge costs ten times what counting costs (docs/performance.md).
        gauge = Gauge("http_requests_in_flight", "Requests being handled now", registry=registry)
        gauge.set_function(lambda: self.in_flight)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float, trace_id: str | None) -> None:
        """Count one answered request. `route` is a template, never a path: the number of series stays bounded.

        `trace_id` is that of a sampled trace, and becomes the exemplar of what it is counted in.
        """
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            children = (self.requests.labels(method, route, status), self.duration.labels(method, route))
            self._children[key] = children
        exemplar = {"trace_id": trace_id} if trace_id else None
        children[0].inc(exemplar=exemplar)
        children[1].observe(seconds, exemplar)


class CallMetrics:
    """The families of calls to other services. `destination` is the host name that is called."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "http_client_requests",
            "Calls of other services; status is none where no answer came",
            ["destination", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "http_client_request_duration_seconds",
            "Time from a call's start to the end of its answer, or to giving up",
            ["destination"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.timeouts = Counter(
            "http_client_timeouts", "Calls given up at their time limit", ["destination"], registry=registry
        )
        self.retries = Counter(
            "http_client_retries", "Calls that repeated a failed one", ["destination"], registry=registry
        )
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def observe(self, destination: str, status: str, seconds: float, trace_id: str | None) -> None:
        """Count one call that was answered or given up. `trace_id` as for requests."""
        children = self._children.get((destination, status))
        if children is None:
            children = (self.calls.labels(destination, status), self.duration.labels(destination))
            self._children[destination, status] = children
        exemplar = {"trace_id": trace_id} if trace_id else None
        children[0].inc(exemplar=exemplar)
        children[1].observe(seconds, exemplar)


class ObservationMiddleware:
    """Measures each request and logs the share `access_log` of them. Probes and scrapes are left out."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, access_log_share: float) -> None:
        self._app = app
        self._metrics = metrics
        self._share = access_log_share
        self._random = Random()  # noqa: S311 - not for secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNOBSERVED:
            await self._app(scope, receive, send)
            return
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics = self._metrics
        metrics.in_flight += 1
        start = perf_counter()
        try:
            await self._app(scope, receive, note_status)
        finally:
            seconds = perf_counter() - start
            metrics.in_flight -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            metrics.observe(method, _route(scope), status, seconds, tracing.sampled_trace_id())
            if self._share and self._random.random() < self._share:
                access_log.info("%s %s %d %.1f ms", method, scope["raw_path"].decode("latin-1"), status, seconds * 1000)


def _route(scope: Scope) -> str:
    """The template of the route that took the request."""
    route = scope.get("route")
    return route.path if route else "unmatched"


router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """The service's metrics in Prometheus' text format, or OpenMetrics where it is asked for."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    registry: CollectorRegistry = request.app.state.registry
    return Response(encode(registry), headers={"content-type": content_type})
