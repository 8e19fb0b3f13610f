"""Which instance answered: two headers on every answer of a service.

A body cannot tell: details' is 178 bytes exactly. A header tells also who failed, is seen with `curl -i`, can go into a
proxy's access log, and is missing where a proxy answered in a service's place, which is worth knowing too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from bookinfo_chassis.settings import ServiceSettings

VERSION = "bookinfo-version"
POD = "bookinfo-pod"


@dataclass(frozen=True)
class Instance:
    """One running copy of a service. `pod` is None where it has no name."""

    version: str
    pod: str | None = None

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> "Instance":
        """This process."""
        return cls(settings.version, None if settings.hostname == "null" else settings.hostname)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> "Instance | None":
        """Who signed an answer; None when nobody did."""
        version = headers.get(VERSION)
        if version is None:
            return None
        pod = headers.get(POD)
        return cls(unquote(version), pod and unquote(pod))

    def headers(self) -> list[tuple[str, str]]:
        """What it signs its answers with; percent-encoded, so that no value can break the header."""
        signature = [(VERSION, quote(self.version))]
        return [*signature, (POD, quote(self.pod))] if self.pod else signature
