"""Requests as the proxies saw them: who called whom, how it ended, how long it took.

Each proxy on a request's way records it: its caller's sidecar as `source`, the called one's as `destination`, so most
requests are told twice. Names are those of Istio's standard metrics:
https://istio.io/latest/docs/reference/config/metrics/.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

Reporter = Literal["source", "destination"]
Security = Literal["mutual_tls", "none", "unknown"]

UNKNOWN = "unknown"
"""What a proxy cannot know of the other side, as Istio writes it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One side of a request; what is not known of it is `unknown`."""

    workload: str = UNKNOWN  # the Deployment
    namespace: str = UNKNOWN
    service: str = UNKNOWN  # its canonical name: the `app` label
    version: str = UNKNOWN
    principal: str = UNKNOWN  # the SPIFFE id that mutual TLS has proved


@dataclass(frozen=True, slots=True)
class MeshRequest:
    """One request, as one proxy recorded it."""

    ended: float  # seconds since 1970
    reporter: Reporter
    source: Peer
    destination: Peer
    destination_service: str  # the host that was called, in full
    destination_port: int  # of the host; 0: not known
    method: str
    code: int  # 0: the caller went away before there was an answer
    flags: str  # Envoy's response flags, e.g. "FI" or "DI,UT"; "-": none
    duration: float  # seconds
    security: Security
    trace_id: str  # 32 hexadecimal digits; empty: not traced
    request_bytes: int = 0  # of the bodies
    response_bytes: int = 0


class RequestLog:
    """The last requests; the oldest make room. For one event loop, without locks."""

    def __init__(self, capacity: int = 30_000) -> None:
        """A record takes some 300 bytes; peers and names are shared."""
        self._kept: deque[MeshRequest] = deque(maxlen=capacity)
        self._added = 0
        self._subscribers: list[Callable[[MeshRequest], None]] = []

    def add(self, request: MeshRequest) -> None:
        """Take one in, and tell the subscribers, in their order."""
        self._kept.append(request)
        self._added += 1
        for tell in self._subscribers:
            tell(request)

    def subscribe(self, tell: Callable[[MeshRequest], None]) -> Callable[[], None]:
        """Have `tell` called with each request from now on. Returns what ends that."""
        self._subscribers.append(tell)
        return lambda: self._subscribers.remove(tell)

    @property
    def cursor(self) -> int:
        """What `since` takes to return only requests that come after now."""
        return self._added

    def since(self, cursor: int = 0) -> list[MeshRequest]:
        """What was added since `cursor` was told, oldest first, as far as it is kept; without one all that is."""
        new = min(self._added - cursor, len(self._kept))
        return list(islice(self._kept, len(self._kept) - new, None))
