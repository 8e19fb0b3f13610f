"""How the faulty versions of ratings misbehave."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

from bookinfo_ratings.settings import Settings

Clock = Callable[[], float]
"""Seconds since some fixed moment."""

Sleep = Callable[[float], Awaitable[None]]


class Sickness:
    """What a version does to each GET, and whether it calls itself healthy. v1 never misbehaves."""

    def __init__(self, settings: Settings, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._random = Random(settings.fault_seed)  # noqa: S311 - not for secrets
        self._clock = clock
        self._sleep = sleep
        self._start = clock()

    async def strike(self) -> bool:
        """Hold up or fail one GET, as the version does; whether it is to be answered 503."""
        settings = self._settings
        match settings.version:
            case "v-faulty":
                return self._draw(settings.faulty_percent)
            case "v-delayed":
                if self._draw(settings.delayed_percent):
                    await self._sleep(settings.delayed_seconds)
                return False
            case "v-unavailable":
                return self._in_bad_period(settings.unavailable_period_seconds)
            case "v-unhealthy":
                return not self.healthy
            case _:
                return False

    @property
    def healthy(self) -> bool:
        """What /health tells."""
        settings = self._settings
        return settings.version != "v-unhealthy" or not self._in_bad_period(settings.unhealthy_period_seconds)

    def _draw(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _in_bad_period(self, period: float) -> bool:
        """Good periods and bad ones take turns, the first is good."""
        return int((self._clock() - self._start) / period) % 2 == 1
