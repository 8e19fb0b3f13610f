"""The fault modes of ratings: v-faulty, v-delayed, v-unavailable and v-unhealthy."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

from bookinfo_ratings.settings import Settings

Clock = Callable[[], float]
"""Returns the seconds since a fixed time."""

Sleep = Callable[[float], Awaitable[None]]


class FaultMode:
    """The faults of a version: the effect on each GET, and the response of /health. v1 has none.

    Fault injection (`FAULT_*`, bookinfo_chassis.fault_injection) is independent of the version and exists in every
    service.
    """

    def __init__(self, settings: Settings, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._random = Random(settings.fault_seed)  # noqa: S311 - not for secrets
        self._clock = clock
        self._sleep = sleep
        self._start = clock()

    async def apply(self) -> bool:
        """Delay a GET if the version does so. Return whether the GET must fail with 503."""
        settings = self._settings
        match settings.version:
            case "v-faulty":
                return self._is_selected(settings.faulty_percent)
            case "v-delayed":
                if self._is_selected(settings.delayed_percent):
                    await self._sleep(settings.delayed_seconds)
                return False
            case "v-unavailable":
                return self._in_faulty_period(settings.unavailable_period_seconds)
            case "v-unhealthy":
                return not self.healthy
            case _:
                return False

    @property
    def healthy(self) -> bool:
        """Whether /health reports a healthy service."""
        settings = self._settings
        return settings.version != "v-unhealthy" or not self._in_faulty_period(settings.unhealthy_period_seconds)

    def _is_selected(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _in_faulty_period(self, period: float) -> bool:
        """Return whether the current period is faulty. Periods alternate, and the first one is not faulty."""
        return int((self._clock() - self._start) / period) % 2 == 1
