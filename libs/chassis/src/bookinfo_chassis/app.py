"""Puts a service together: its routes, the operational ones, and the middleware in the order in which it acts."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version as package_version

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import Gauge
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookinfo_chassis import docs, health, metrics
from bookinfo_chassis.errors import ERROR_RESPONSES, CrashMiddleware, handle_errors
from bookinfo_chassis.faults import FaultMiddleware, Faults
from bookinfo_chassis.health import Lifecycle
from bookinfo_chassis.metrics import ObservationMiddleware, RequestMetrics
from bookinfo_chassis.propagation import PropagationMiddleware
from bookinfo_chassis.settings import ServiceSettings
from bookinfo_chassis.shortway import Handler, ShortWay
from bookinfo_chassis.tracing import Tracing

Resources = Callable[[FastAPI], AbstractAsyncContextManager[None]]
"""Opens what a service needs while it runs (its client, say) and closes it afterwards."""


class HeadMiddleware:
    """Answers HEAD wherever there is a GET: FastAPI, unlike Flask and Starlette, does not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


def create_service(
    service: str,
    settings: ServiceSettings,
    routers: list[APIRouter],
    *,
    description: str,
    invalid: str,
    resources: Resources | None = None,
    drop_headers: frozenset[bytes] = frozenset(),
    hot: Collection[Handler] = (),
) -> FastAPI:
    """A service's application.

    `invalid` is the text of the 400 for a request that does not validate; `drop_headers` are incoming headers that do
    not travel on; `hot` are handlers of GETs that are worth a `ShortWay`. The settings, the registry of metrics, the
    metrics of calls and the lifecycle are on `app.state`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with resources(app) if resources else _nothing():
            app.state.lifecycle.ready = True
            yield
        if tracing:
            await tracing.shutdown()

    registry = metrics.create_registry()
    faults = Faults.from_settings(settings)
    app = FastAPI(
        title=f"Bookinfo {service}",
        description=description,
        version=package_version(f"bookinfo-{service}"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=ERROR_RESPONSES,
        # FastAPI's own telemetry would make a second set of spans and metrics.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        middleware=[
            Middleware(HeadMiddleware),
            Middleware(PropagationMiddleware, drop=drop_headers),
            Middleware(ObservationMiddleware, RequestMetrics(registry), settings.access_log),
            Middleware(CrashMiddleware),
            *([Middleware(FaultMiddleware, faults)] if faults else []),
        ],
    )
    app.state.settings = settings
    app.state.registry = registry
    app.state.lifecycle = Lifecycle()
    app.state.calls = metrics.CallMetrics(registry)
    build = Gauge("bookinfo_build_info", "Which build this is", ["service", "version", "package"], registry=registry)
    build.labels(service, settings.version, app.version).set(1)
    app.router.routes[:0] = [
        ShortWay(route)
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.endpoint in hot
    ]
    for router in [*routers, health.router, metrics.router, docs.router]:
        app.include_router(router)
    handle_errors(app, invalid)
    tracing = Tracing.from_settings(service, settings)
    if tracing:
        tracing.install(app)
    return app


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
