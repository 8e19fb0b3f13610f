"""Assembly of a service: its routes, the operational routes, and the middleware in order of execution."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version as package_version

import httpx
from fastapi import APIRouter, FastAPI
from prometheus_client import Gauge
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookinfo_chassis import docs, health, metrics
from bookinfo_chassis.errors import ERROR_RESPONSES, UnhandledErrorMiddleware, handle_errors
from bookinfo_chassis.fastpath.fast_route import find_fast_routes
from bookinfo_chassis.fault_injection import FaultInjection, FaultInjectionMiddleware
from bookinfo_chassis.health import Lifecycle
from bookinfo_chassis.metrics import MetricsMiddleware, ServiceMetrics
from bookinfo_chassis.propagation import PropagationMiddleware
from bookinfo_chassis.settings import ServiceSettings
from bookinfo_chassis.tracing import Tracing

Resources = Callable[[FastAPI], AbstractAsyncContextManager[object]]
"""Opens what a service needs while it runs, and closes it afterwards."""


class Service(FastAPI):
    """The application of a service, with the state that its server changes."""

    lifecycle: Lifecycle


class HeadMiddleware:
    """Serves HEAD for each GET route. FastAPI, unlike Flask and Starlette, does not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)


def create_service(
    service: str,
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    *,
    description: str,
    validation_error: str,
    service_metrics: ServiceMetrics | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    resources: Resources | None = None,
    dropped_headers: frozenset[bytes] = frozenset(),
    fast_routes: Collection[str] = (),
) -> Service:
    """Return the application of a service.

    Args:
        validation_error: the error text of the 400 response to an invalid request.
        service_metrics: the metrics that the service's clients report to; default: new ones.
        transport: the transport of the service's clients; closed when the service stops.
        resources: opened before the service becomes ready, closed when it stops.
        dropped_headers: request headers that are not propagated although `PROPAGATED` lists them.
        fast_routes: paths of GET routes that bypass FastAPI's validation (fastpath/README.md).
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with transport or nullcontext(), resources(app) if resources else nullcontext():
            lifecycle.ready = True
            yield
        if tracing:
            await tracing.shutdown()

    lifecycle = Lifecycle()
    service_metrics = service_metrics or ServiceMetrics.create()
    fault_injection = FaultInjection.from_settings(settings)
    app = Service(
        title=f"Bookinfo {service}",
        description=description,
        version=package_version(f"bookinfo-{service}"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=ERROR_RESPONSES,
        # FastAPI's own telemetry would produce a second set of spans and metrics.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        middleware=[
            Middleware(HeadMiddleware),
            Middleware(PropagationMiddleware, dropped=dropped_headers),
            Middleware(MetricsMiddleware, service_metrics.requests, settings.access_log),
            Middleware(UnhandledErrorMiddleware),
            *([Middleware(FaultInjectionMiddleware, fault_injection)] if fault_injection else []),
        ],
    )
    app.lifecycle = lifecycle
    build_info = Gauge(
        "bookinfo_build_info",
        "Version and package version of this build",
        ["service", "version", "package"],
        registry=service_metrics.registry,
    )
    build_info.labels(service, settings.version, app.version).set(1)
    if settings.fast_path_routes:
        app.router.routes[:0] = find_fast_routes(routers, fast_routes)
    operations = [health.create_router(lifecycle), metrics.create_router(service_metrics.registry), docs.router]
    for router in [*routers, *operations]:
        app.include_router(router)
    handle_errors(app, validation_error)
    tracing = Tracing.from_settings(service, settings)
    if tracing:
        tracing.install(app)
    return app
