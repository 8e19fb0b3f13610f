"""Distinguish requests of programs and of the lab's own pages from requests that pages of other sites send.

Every page that a browser shows can reach a server on loopback. A hostile page can use its own host name, if that name
resolves to 127.0.0.1 (DNS rebinding), or an address of this server. A browser sets the headers that this module reads,
and a page cannot change them: https://fetch.spec.whatwg.org/#origin-header and https://www.w3.org/TR/fetch-metadata/.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_SAME_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site. A browser sends `none` if the user entered the address. Programs send no such header."""


@dataclass(frozen=True)
class Sender:
    """The headers that identify the page or the program that sent a request."""

    host: str  # with the port; empty if the request has no Host header, or several
    origins: tuple[str, ...]
    fetch_sites: tuple[str, ...]

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> "Sender":
        """Return the sender of a request with these headers, whose names are in lower case as in ASGI."""
        values: dict[bytes, list[str]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
        for name, value in headers:
            if name in values:
                values[name].append(value.decode("latin-1"))
        hosts = values[b"host"]
        host = hosts[0] if len(hosts) == 1 else ""
        return cls(host, tuple(values[b"origin"]), tuple(values[b"sec-fetch-site"]))

    @property
    def host_name(self) -> str:
        """The host without the port."""
        name, colon, _ = self.host.rpartition(":")
        return name if colon else self.host

    @property
    def is_same_site(self) -> bool:
        """Whether the browser does not attribute the request to a page of another origin."""
        return _SAME_SITE.issuperset(self.fetch_sites)

    @property
    def is_own_origin(self) -> bool:
        """Whether the request names no origin, or the one of this server."""
        return all(origin.lower() == f"http://{self.host.lower()}" for origin in self.origins)
