"""Prometheus metrics: the number, the status and the duration of requests and calls."""

import logging
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Self

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookinfo_chassis.spans import sampled_trace_id

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds in seconds: from 1 ms, as for details, to the longest time limit of the services, 10 s."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Other methods are counted as one, so that callers cannot create series. HEAD is counted as GET."""

UNMEASURED = frozenset({"/livez", "/readyz", "/metrics"})

access_log = logging.getLogger("bookinfo.access")


def create_registry() -> CollectorRegistry:
    """Return a new registry with the standard metrics of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class RequestMetrics:
    """The metrics of incoming requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "http_requests", "Requests by method, route and status", ["method", "route", "status"], registry=registry
        )
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time from the arrival of a request to the end of its response",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_flight = 0
        # Evaluated at a scrape: updating a gauge costs ten times as much as an integer (docs/performance.md).
        gauge = Gauge("http_requests_in_flight", "Requests that are being handled", registry=registry)
        gauge.set_function(lambda: self.in_flight)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float, trace_id: str | None) -> None:
        """Count a request. `route` is a template, never a path, so that the number of series is bounded.

        `trace_id` is the id of a sampled trace and becomes an exemplar.
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
    """The metrics of calls to other services. `destination` is the host name of the called service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "http_client_requests",
            "Calls to other services; the status is none if there was no response",
            ["destination", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "http_client_request_duration_seconds",
            "Time from the start of a call to the end of its response, or to its failure",
            ["destination"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.timeouts = Counter(
            "http_client_timeouts", "Calls that exceeded their time limit", ["destination"], registry=registry
        )
        self.retries = Counter(
            "http_client_retries", "Calls that repeated a failed call", ["destination"], registry=registry
        )
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def observe(self, destination: str, status: str, seconds: float, trace_id: str | None) -> None:
        """Count a call. `trace_id` is the same as for requests."""
        children = self._children.get((destination, status))
        if children is None:
            children = (self.calls.labels(destination, status), self.duration.labels(destination))
            self._children[destination, status] = children
        exemplar = {"trace_id": trace_id} if trace_id else None
        children[0].inc(exemplar=exemplar)
        children[1].observe(seconds, exemplar)


@dataclass(frozen=True)
class ServiceMetrics:
    """The metrics of a service and their registry."""

    registry: CollectorRegistry
    requests: RequestMetrics
    calls: CallMetrics

    @classmethod
    def create(cls) -> Self:
        """Return new metrics in a registry of their own."""
        registry = create_registry()
        return cls(registry, RequestMetrics(registry), CallMetrics(registry))


class MetricsMiddleware:
    """Measures each request and logs a share of them, 0 to 1. Probes and scrapes are excluded."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, access_log_share: float) -> None:
        self._app = app
        self._metrics = metrics
        self._share = access_log_share
        self._random = Random()  # noqa: S311 - not for secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNMEASURED:
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics = self._metrics
        metrics.in_flight += 1
        start = perf_counter()
        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            seconds = perf_counter() - start
            metrics.in_flight -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            metrics.observe(method, _route(scope), status, seconds, sampled_trace_id())
            if self._share and self._random.random() < self._share:
                access_log.info("%s %s %d %.1f ms", method, scope["raw_path"].decode("latin-1"), status, seconds * 1000)


def _route(scope: Scope) -> str:
    """Return the path template of the route that handled the request."""
    route = scope.get("route")
    return route.path if route else "unmatched"


def create_router(registry: CollectorRegistry) -> APIRouter:
    """Return the route of the metrics."""
    router = APIRouter(tags=["operations"])

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(request: Request) -> Response:
        """The metrics of the service in Prometheus' text format, or in OpenMetrics if the client accepts it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return router
