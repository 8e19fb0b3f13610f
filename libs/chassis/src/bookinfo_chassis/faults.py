"""Faults on purpose: a share of requests delayed, a share answered with an error (`FAULT_*`).

A sick instance and a bad canary are made with these. A fault injected by the mesh cannot make them: it happens in the
caller's proxy and never reaches the outlier detection that shall see it.
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
class Faults:
    """Shares in percent, the delay in seconds."""

    abort_percent: float
    abort_status: int
    delay_percent: float
    delay: float
    seed: int | None

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> Self | None:
        """What the settings ask for; None when nothing is to be done."""
        delays = settings.fault_delay_ms > 0 and settings.fault_delay_percent > 0
        if not delays and settings.fault_abort_percent == 0:
            return None
        return cls(
            abort_percent=settings.fault_abort_percent,
            abort_status=settings.fault_abort_status,
            delay_percent=settings.fault_delay_percent if delays else 0.0,
            delay=settings.fault_delay_ms / 1000,
            seed=settings.fault_seed,
        )


class FaultMiddleware:
    """Delays first, then aborts, each by its own draw, as Envoy's fault filter does."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults
        self._random = Random(faults.seed)  # noqa: S311 - not for secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in EXEMPT:
            faults = self._faults
            if self._random.random() * 100 < faults.delay_percent:
                await asyncio.sleep(faults.delay)
            if self._random.random() * 100 < faults.abort_percent:
                _note_route(scope)
                answer = JSONResponse({"error": "fault injected on purpose"}, status_code=faults.abort_status)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _note_route(scope: Scope) -> None:
    """Name the route that would have answered, so that the fault is counted as that route's."""
    for route in iter_route_contexts(scope["app"].router.routes):
        if route.matches(scope)[0] is Match.FULL:
            scope["route"] = route
            return
