"""Tracing with OpenTelemetry. The standard `OTEL_*` variables switch it on; without them the SDK is not imported."""

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from fastapi import FastAPI

from bookinfo_chassis.fastpath.sampling_gate import SamplingGate
from bookinfo_chassis.settings import InvalidSettingsError, ServiceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
"""How long a stopping service waits for the export of its last spans."""


class Tracing:
    """The tracing of a running service."""

    def __init__(
        self, settings: ServiceSettings, provider: "TracerProvider", sampler: "Sampler", ids: "IdGenerator"
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._sampler = sampler
        self._ids = ids

    @classmethod
    def from_settings(cls, service: str, settings: ServiceSettings) -> "Tracing | None":
        """Return the tracing that the `OTEL_*` variables configure, or None if they configure none.

        Raises:
            InvalidSettingsError: a variable that only OpenTelemetry reads is invalid, for example a span limit.
        """
        if not settings.exports_traces:
            return None
        try:
            from bookinfo_chassis import otel_sdk  # its import reads some of these variables

            provider = otel_sdk.create_provider(service, settings)
            sampler = otel_sdk.configured_sampler()
        except ValueError as error:
            raise InvalidSettingsError(str(error)) from error
        return cls(settings, provider, sampler, otel_sdk.RandomIdGenerator())

    def install(self, app: FastAPI) -> None:
        """Put the sampling gate and OpenTelemetry's instrumentation in front of `app`."""
        from bookinfo_chassis import otel_sdk

        bare = app.build_middleware_stack()
        otel_sdk.instrument(app, self._provider, self._settings)
        app.middleware_stack = SamplingGate(
            bare,
            app.build_middleware_stack(),
            self._provider.get_tracer("bookinfo_chassis"),
            self._sampler,
            self._ids,
            skip_unsampled=self._settings.fast_path_sampling_gate,
        )

    async def shutdown(self) -> None:
        """Export the remaining spans within `FLUSH_SECONDS`."""
        # The exporter retries a failing collector for longer than a pod's grace period.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, FLUSH_SECONDS)
        if flush.is_alive():
            logger.warning("the last spans were not exported within %g s", FLUSH_SECONDS)
