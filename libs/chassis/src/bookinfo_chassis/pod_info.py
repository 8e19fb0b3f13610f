"""The version and pod that responded: two headers on every response of a service.

The body cannot contain them: that of details must have exactly 178 bytes. Headers are also present on errors, are shown
by `curl -i`, and can be written to a proxy's access log. A response without them comes from a proxy, not from a
service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from bookinfo_chassis.settings import ServiceSettings

VERSION = "bookinfo-version"
POD = "bookinfo-pod"


@dataclass(frozen=True)
class PodInfo:
    """The version of a service and the name of its pod, or None if the pod has no name."""

    version: str
    name: str | None = None

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> "PodInfo":
        """Return the version and the name of this process."""
        return cls(settings.version, None if settings.hostname == "null" else settings.hostname)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> "PodInfo | None":
        """Return the pod that a response names, or None if it names none."""
        version = headers.get(VERSION)
        if version is None:
            return None
        name = headers.get(POD)
        return cls(unquote(version), name and unquote(name))

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers for a response. Values are percent-encoded, so that none can add a header."""
        headers = [(VERSION, quote(self.version))]
        return [*headers, (POD, quote(self.name))] if self.name else headers
