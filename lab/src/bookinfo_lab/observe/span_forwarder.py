"""Sends the lab's spans on to a collector of the user's, Jaeger for one, as they came.

`bookinfo up` does so where its own environment has OpenTelemetry's variables for it:
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from bookinfo_lab.errors import LabError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
TRACES_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"

_MOST_WAITING = 200
"""Exports that wait for a collector that is slow; with more of them the newest are lost, there and not in the lab."""

_WITHIN = 5.0
_HOST = re.compile(r"[\w:%-]+(\.[\w-]+)*\.?")
_HEADER = re.compile(r"[!#-'*+.\-0-9A-Z^-z|~]+=[\t -~]*")


def endpoint(environ: Mapping[str, str]) -> str | None:
    """Where spans are to go on to, if anywhere.

    Raises:
        LabError: that is no URL.
    """
    for name, path in ((TRACES_ENDPOINT, ""), (ENDPOINT, "/v1/traces")):
        if environ.get(name):
            url = environ[name].rstrip("/") + path
            if not _usable(url):
                raise LabError(f"{name}: {environ[name]!r} is no URL; write one like http://localhost:4318")
            return url
    return None


def headers(environ: Mapping[str, str]) -> dict[str, str]:
    """What the collector wants to be sent along, a key of its owner's, say.

    Raises:
        LabError: that is no list of headers; what stands there is not told.
    """
    name = TRACES_HEADERS if environ.get(TRACES_HEADERS) else HEADERS
    given = [pair.partition("=") for pair in environ.get(name, "").split(",") if pair.strip()]
    found = {key.strip(): unquote(value.strip()) for key, _, value in given}
    if not all(_HEADER.fullmatch(f"{key}={value}") for key, value in found.items()):
        raise LabError(f"{name} is no list of headers; write one like name=value,name=value")
    return found


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = _HOST.fullmatch(parts.hostname or "")
        return parts.scheme in ("http", "https") and host is not None and parts.port != 0 and url.isprintable()
    except ValueError:  # of a port that is none, or an address that does not end
        return False


class Onward:
    """Sends exports to one URL, in their order."""

    def __init__(self, url: str, report: Callable[[str], None], headers: Mapping[str, str] | None = None) -> None:
        """`report` is told once when the collector cannot be reached, and once when it can again.

        `headers` are sent with each export.
        """
        self._url = url
        self._headers = headers or {}
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
                    answer = await client.post(self._url, content=body, headers={**self._headers, **headers})
                    trouble = f"status {answer.status_code}" if answer.is_error else ""
                except httpx.HTTPError as error:
                    trouble = str(error) or type(error).__name__
                if bool(trouble) != failed:
                    failed = bool(trouble)
                    self._report(
                        f"traces do not reach {self._url}: {trouble}" if failed else f"traces reach {self._url}"
                    )
