"""Istio's standard metrics, made from what the proxies recorded: https://istio.io/latest/docs/reference/config/metrics/

Written out by hand: each series has 24 labels, whose text is made once here and with every scrape in a general library
(for Bookinfo under load: 40 ms and more a scrape, with the event loop standing still).
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bookinfo_lab.observe.records import BLOCKED, PASSTHROUGH
from bookinfo_lab.observe.requests import UNKNOWN, MeshRequest, Peer
from bookinfo_lab.resources.topology import CLUSTER_DOMAIN

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000),
    3600000,
)
"""Envoy's own upper bounds, which Istio leaves as they are: milliseconds, and bytes."""

MOST_SERIES = 500
"""Label sets that are kept; the one that was counted least recently makes room. All of the scenarios make some 300.

Each is some 60 kB of every scrape, and more could not be told within the second that a scrape has.
"""

HISTOGRAMS = {
    "istio_request_duration_milliseconds": "Time from a request's arrival to the end of its answer",
    "istio_request_bytes": "Size of the request's body",
    "istio_response_bytes": "Size of the answer's body",
}
REQUESTS = "istio_requests_total"

_ANY_HOST = (PASSTHROUGH, BLOCKED)
_LATEST = "latest"
_CLUSTER = "Kubernetes"
_SERVICE_SUFFIX = f".svc.{CLUSTER_DOMAIN}"


@dataclass
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))  # not cumulative
    total: float = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(BUCKETS, value)] += 1
        self.total += value


@dataclass
class _Series:
    """What is counted under one set of labels, whose text stands between braces."""

    labels: str
    requests: int = 0
    histograms: tuple[_Histogram, ...] = field(default_factory=lambda: tuple(_Histogram() for _ in HISTOGRAMS))


_Key = tuple[str, Peer, Peer, str, int, str, str]


class MeshMetrics:
    """Counts requests, as each side reports them."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        self._most_series = most_series
        self._series: OrderedDict[_Key, _Series] = OrderedDict()

    def observe(self, request: MeshRequest) -> None:
        """Count one."""
        if request.destination.service in _ANY_HOST:  # whatever host the caller wrote: it would make series
            request = replace(request, destination_service=UNKNOWN)
        key = (
            request.reporter,
            request.source,
            request.destination,
            request.destination_service,
            request.code,
            request.flags,
            request.security,
        )
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self._most_series:
                self._series.popitem(last=False)
            series = self._series[key] = _Series(_text(labels(request)))
        else:
            self._series.move_to_end(key)
        series.requests += 1
        values = (1000 * request.duration, request.request_bytes, request.response_bytes)
        for histogram, value in zip(series.histograms, values, strict=True):
            histogram.observe(value)

    def exposition(self) -> str:
        """All of it, in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"# HELP {REQUESTS} Requests, as the proxy of each side reports them"
        yield f"# TYPE {REQUESTS} counter"
        for series in self._series.values():
            yield f"{REQUESTS}{{{series.labels}}} {series.requests}"
        for index, (name, meaning) in enumerate(HISTOGRAMS.items()):
            yield f"# HELP {name} {meaning}"
            yield f"# TYPE {name} histogram"
            for series in self._series.values():
                yield from _histogram(name, series.labels, series.histograms[index])


def labels(request: MeshRequest) -> dict[str, str]:
    """Istio's labels of a request."""
    source, destination = request.source, request.destination
    service, namespace = request.destination_service, UNKNOWN
    name = service
    if service.endswith(_SERVICE_SUFFIX):
        name, _, namespace = service.removesuffix(_SERVICE_SUFFIX).partition(".")
    if destination.service in _ANY_HOST:
        name, destination = destination.service, Peer()
    return {
        "reporter": request.reporter,
        **_of_peer("source", source),
        **_of_peer("destination", destination),
        "destination_service": service,
        "destination_service_name": name,
        "destination_service_namespace": namespace,
        "request_protocol": "http",
        "response_code": str(request.code),
        "response_flags": request.flags,
        "connection_security_policy": request.security,
    }


def _of_peer(side: str, peer: Peer) -> Mapping[str, str]:
    known = peer.workload != UNKNOWN
    return {
        f"{side}_workload": peer.workload,
        f"{side}_workload_namespace": peer.namespace,
        f"{side}_principal": peer.principal,
        f"{side}_app": peer.service,
        f"{side}_version": peer.version,
        f"{side}_canonical_service": peer.service,
        f"{side}_canonical_revision": _LATEST if peer.version == UNKNOWN else peer.version,
        f"{side}_cluster": _CLUSTER if known else UNKNOWN,
    }


def _text(named: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in named.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


_BOUNDS = tuple(f"{bound:g}" if bound < 1 else str(int(bound)) for bound in BUCKETS)


def _histogram(name: str, text: str, histogram: _Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*_BOUNDS, "+Inf"), histogram.counts, strict=True):
        total += count
        yield f'{name}_bucket{{{text},le="{bound}"}} {total}'
    yield f"{name}_sum{{{text}}} {histogram.total:.6g}"
    yield f"{name}_count{{{text}}} {total}"
