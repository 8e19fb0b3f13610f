"""Fault injection in the service itself: delays and aborts for a share of its requests (`FAULT_*`).

These settings create an unhealthy instance or a faulty canary. A fault that the mesh injects cannot do that: the
caller's proxy injects it, and outlier detection never sees it.
"""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Self

from fastapi.routing import iter_route_contexts
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from bookinfo_chassis.health import PROBES
from bookinfo_chassis.settings import ServiceSettings

EXEMPT = PROBES | {"/metrics"}


@dataclass(frozen=True)
class FaultInjection:
    """The share of requests with a fault, in percent, and the fault."""

    abort_percent: float
    abort_status: int
    delay_percent: float
    delay_seconds: float
    seed: int | None

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> Self | None:
        """Return the configured faults, or None if there are none."""
        has_delay = settings.fault_delay_ms > 0 and settings.fault_delay_percent > 0
        if not has_delay and settings.fault_abort_percent == 0:
            return None
        return cls(
            abort_percent=settings.fault_abort_percent,
            abort_status=settings.fault_abort_status,
            delay_percent=settings.fault_delay_percent if has_delay else 0.0,
            delay_seconds=settings.fault_delay_ms / 1000,
            seed=settings.fault_seed,
        )


class FaultInjectionMiddleware:
    """Delays first, then aborts. Each is decided by its own random number, as in Envoy's fault filter."""

    def __init__(self, app: ASGIApp, faults: FaultInjection) -> None:
        self._app = app
        self._faults = faults
        self._random = Random(faults.seed)  # noqa: S311 - not for secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in EXEMPT:
            faults = self._faults
            if self._random.random() * 100 < faults.delay_percent:
                await asyncio.sleep(faults.delay_seconds)
            if self._random.random() * 100 < faults.abort_percent:
                _set_route(scope)
                response = JSONResponse({"error": "fault injected on purpose"}, status_code=faults.abort_status)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _set_route(scope: Scope) -> None:
    """Set the route that matches the request, so that the metrics count the fault under that route."""
    for route in iter_route_contexts(scope["app"].router.routes):
        if route.matches(scope)[0] is Match.FULL:
            scope["route"] = route
            return
