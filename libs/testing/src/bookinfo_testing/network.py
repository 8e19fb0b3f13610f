"""Ports and HTTP requests on the loopback address."""

import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    text: str
    headers: dict[str, str]


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def get(url: str, headers: Mapping[str, str] | None = None) -> Response:
    """Send a GET request and return the response, whatever its status. Ignore the proxies of the environment.

    Raise OSError if no server responds within 30 s.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=dict(headers or {})), timeout=30) as response:
            return Response(response.status, response.read().decode(), dict(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.read().decode(), dict(error.headers))
