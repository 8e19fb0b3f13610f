"""The requests of each version between two readings of the mesh's counters.

The metrics are Istio's standard ones (https://istio.io/latest/docs/reference/config/metrics/). Counters are subtracted
series by series. PromQL's `increase` would miss the first requests of every new series, and the first errors of a bad
canary are a new series.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from bookinfo_canary.release_plan import Versions
from bookinfo_canary.statistics import Histogram

REQUESTS = "istio_requests_total"
DURATION_BUCKETS = "istio_request_duration_milliseconds_bucket"

Labels = Mapping[str, str]
Series = tuple[str, frozenset[tuple[str, str]]]
Snapshot = Mapping[Series, float]
"""The counters at one moment: value by name and labels."""


@dataclass(frozen=True)
class SeriesSelector:
    """Which series to read: the requests of one service, as one reporter counts them.

    With a route between Services of the versions (Gateway API) the destination is the version's Service, so the
    requests of those Services count too.
    """

    reporter: str
    namespace: str
    services: tuple[str, ...]

    @classmethod
    def for_release(cls, versions: Versions, reporter: str) -> Self:
        """Select the series of a release."""
        name = versions.service.name
        return cls(
            reporter, versions.service.namespace, (name, f"{name}-{versions.stable}", f"{name}-{versions.canary}")
        )

    def matches(self, labels: Labels) -> bool:
        """Return whether a series with these labels is selected."""
        return (
            labels.get("reporter") == self.reporter
            and labels.get("destination_service_namespace") == self.namespace
            and labels.get("destination_service_name") in self.services
        )

    @property
    def promql(self) -> str:
        """The same selection for Prometheus. A target that missed a scrape keeps its last value for 5 min."""
        names = f"{REQUESTS}|{DURATION_BUCKETS}"
        services = "|".join(self.services)
        return (
            f'last_over_time({{__name__=~"{names}",reporter="{self.reporter}",'
            f'destination_service_namespace="{self.namespace}",destination_service_name=~"{services}"}}[5m])'
        )


@dataclass(frozen=True)
class VersionMetrics:
    """The requests of one version during some time."""

    requests: float = 0.0
    failures: float = 0.0
    durations: Histogram = field(default_factory=dict)
    """Durations of the successful requests in milliseconds. A fast error is not a fast response."""

    def __add__(self, other: "VersionMetrics") -> "VersionMetrics":
        return VersionMetrics(
            self.requests + other.requests, self.failures + other.failures, _sum([self.durations, other.durations])
        )

    @property
    def successes(self) -> float:
        """Requests that did not fail."""
        return self.requests - self.failures


@dataclass(frozen=True)
class Comparison:
    """The requests of both versions during the same time."""

    stable: VersionMetrics = field(default_factory=VersionMetrics)
    canary: VersionMetrics = field(default_factory=VersionMetrics)
    unassigned_failures: float = 0.0
    """Failures that reached no version, for example without a healthy endpoint. They also count as the canary's."""

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(
            self.stable + other.stable,
            self.canary + other.canary,
            self.unassigned_failures + other.unassigned_failures,
        )


def requests_between(before: Snapshot, after: Snapshot, versions: Versions) -> Comparison:
    """Return the requests from one snapshot to the next.

    A series that is missing in `before` started at 0. A series whose value fell was reset to 0 in between.
    """
    requests: dict[str, float] = {}
    failures: dict[str, float] = {}
    durations: dict[str, dict[float, float]] = {}
    for (name, pairs), value in after.items():
        earlier = before.get((name, pairs), 0.0)
        added = value - earlier if value >= earlier else value
        labels = dict(pairs)
        version = _version(labels, versions)
        failed = _is_failure(labels)
        if name == REQUESTS:
            requests[version] = requests.get(version, 0.0) + added
            failures[version] = failures.get(version, 0.0) + (added if failed else 0.0)
        elif name == DURATION_BUCKETS and not failed:
            histogram = durations.setdefault(version, {})
            bound = float(labels["le"])
            histogram[bound] = histogram.get(bound, 0.0) + added
    unassigned = failures.get("", 0.0)

    def metrics(version: str, additional_failures: float = 0.0) -> VersionMetrics:
        return VersionMetrics(
            requests.get(version, 0.0) + additional_failures,
            failures.get(version, 0.0) + additional_failures,
            durations.get(version, {}),
        )

    return Comparison(metrics(versions.stable), metrics(versions.canary, unassigned), unassigned)


def _version(labels: Labels, versions: Versions) -> str:
    """Return the version that a series belongs to. It is empty if no version was reached (`unknown` in Istio)."""
    version = labels.get("destination_version", "unknown")
    if version not in ("unknown", ""):
        return version
    for version in (versions.stable, versions.canary):
        if labels.get("destination_service_name") == f"{versions.service.name}-{version}":
            return version
    return ""


def _is_failure(labels: Labels) -> bool:
    """A failure has status 5xx or 0. 0 means that the connection ended before a response, as in a timeout."""
    code = labels.get("response_code", "")
    return code == "0" or (len(code) == 3 and code.startswith("5"))


def _sum(histograms: Iterable[Histogram]) -> Histogram:
    total: dict[float, float] = {}
    for histogram in histograms:
        for bound, count in histogram.items():
            total[bound] = total.get(bound, 0.0) + count
    return total
