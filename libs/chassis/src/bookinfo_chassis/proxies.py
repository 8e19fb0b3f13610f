"""HTTP proxies from the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""

from collections.abc import Mapping
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import httpx


class Proxies:
    """The proxy for each URL, from variables that are read once. The lower-case spelling of a variable wins.

    httpx reads these variables only in clients that create their transport themselves.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._by_scheme: dict[str, str] = {}
        for scheme in ("http", "https", "no"):
            value = environ.get(f"{scheme}_proxy", environ.get(f"{scheme}_proxy".upper(), ""))
            if value:
                self._by_scheme[scheme] = value if "://" in value or scheme == "no" else f"http://{value}"

    def find(self, url: httpx.URL) -> str | None:
        """Return the URL of the proxy for `url`, or None for a direct connection."""
        names = {url.host, url.netloc.decode()}  # NO_PROXY may name a host, or a host and its port
        bypassed = any(proxy_bypass_environment(name, self._by_scheme) for name in names)
        return None if bypassed else self._by_scheme.get(url.scheme)
