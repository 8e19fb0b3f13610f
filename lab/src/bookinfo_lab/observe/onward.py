"""Sends the lab's spans on to a collector of the user's, Jaeger for one, as they came.

`bookinfo up` does so where its own environment has OpenTelemetry's variables for it:
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from bookinfo_lab.errors import LabError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"

_MOST_WAITING = 200
"""Exports that wait for a collector that is slow; with more of them the newest are lost, there and not in the lab."""

_WITHIN = 5.0


def endpoint(environ: Mapping[str, str]) -> str | None:
    """Where spans are to go on to, if anywhere.

    Raises:
        LabError: that is no URL.
    """
    for name, path in ((TRACES_ENDPOINT, ""), (ENDPOINT, "/v1/traces")):
        if environ.get(name):
            url = environ[name].rstrip("/") + path
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise LabError(f"{name}: {environ[name]!r} is no URL; write one like http://localhost:4318")
            return url
    return None


class Onward:
    """Sends exports to one URL, in their order."""

    def __init__(self, url: str, report: Callable[[str], None]) -> None:
        """`report` is told once when the collector cannot be reached, and once when it can again."""
        self._url = url
        self._report = report
        self._waiting: asyncio.Queue[tuple[bytes, Mapping[str, str]]] = asyncio.Queue(_MOST_WAITING)

    @property
    def waiting(self) -> int:
        """How many exports have not been sent."""
        return self._waiting.qsize()

    def take(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send it when there is time."""
        if not self._waiting.full():
            self._waiting.put_nowait((body, headers))

    async def run(self) -> None:
        """Send until the task is cancelled."""
        import httpx

        failed = False
        async with httpx.AsyncClient(timeout=_WITHIN, trust_env=False) as client:
            while True:
                body, headers = await self._waiting.get()
                try:
                    answer = await client.post(self._url, content=body, headers=headers)
                    trouble = f"status {answer.status_code}" if answer.is_error else ""
                except httpx.HTTPError as error:
                    trouble = str(error) or type(error).__name__
                if bool(trouble) != failed:
                    failed = bool(trouble)
                    self._report(
                        f"traces do not reach {self._url}: {trouble}" if failed else f"traces reach {self._url}"
                    )
