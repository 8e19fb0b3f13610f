"""From counters read twice to what each version did in between.

The metrics are Istio's standard ones (https://istio.io/latest/docs/reference/config/metrics/). Counters are subtracted
one by one instead of by PromQL's `increase`, which misses the first requests of every series that is new, and a bad
canary's first errors are such a series.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from bookinfo_canary.plan import Versions
from bookinfo_canary.statistics import Histogram

REQUESTS = "istio_requests_total"
DURATIONS = "istio_request_duration_milliseconds_bucket"

Labels = Mapping[str, str]
Series = tuple[str, frozenset[tuple[str, str]]]
Snapshot = Mapping[Series, float]
"""Counters at one moment: name and labels to value."""


@dataclass(frozen=True)
class Selector:
    """Which series matter: those of one service's requests, told by one side.

    With routes between Services of the versions (Gateway API) the destination is that of the version, so those count
    as the service's too.
    """

    reporter: str
    namespace: str
    services: tuple[str, ...]

    @classmethod
    def of(cls, versions: Versions, reporter: str) -> Self:
        """The series of a release."""
        name = versions.service.name
        return cls(
            reporter, versions.service.namespace, (name, f"{name}-{versions.stable}", f"{name}-{versions.canary}")
        )

    def takes(self, labels: Labels) -> bool:
        """Whether a series with these labels matters."""
        return (
            labels.get("reporter") == self.reporter
            and labels.get("destination_service_namespace") == self.namespace
            and labels.get("destination_service_name") in self.services
        )

    @property
    def promql(self) -> str:
        """The same for Prometheus. A target that missed a scrape, or is gone, keeps its last value for a while."""
        names = f"{REQUESTS}|{DURATIONS}"
        services = "|".join(self.services)
        return (
            f'last_over_time({{__name__=~"{names}",reporter="{self.reporter}",'
            f'destination_service_namespace="{self.namespace}",destination_service_name=~"{services}"}}[5m])'
        )


@dataclass(frozen=True)
class Observed:
    """What happened to the requests of one version."""

    requests: float = 0.0
    failures: float = 0.0
    durations: Histogram = field(default_factory=dict)
    """Of the successful ones, in milliseconds: an error that comes fast is no speed."""

    def __add__(self, other: "Observed") -> "Observed":
        return Observed(
            self.requests + other.requests, self.failures + other.failures, _sum([self.durations, other.durations])
        )

    @property
    def successes(self) -> float:
        """Requests that did not fail."""
        return self.requests - self.failures


@dataclass(frozen=True)
class Comparison:
    """Both versions in the same time."""

    stable: Observed = field(default_factory=Observed)
    canary: Observed = field(default_factory=Observed)
    lost: float = 0.0
    """Failed before they reached any version, as with no healthy instance; they count as the canary's."""

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(self.stable + other.stable, self.canary + other.canary, self.lost + other.lost)


def between(before: Snapshot, after: Snapshot, versions: Versions) -> Comparison:
    """What happened from one snapshot to the next.

    A series that is not in `before` began at 0; one that fell began anew.
    """
    requests: dict[str, float] = {}
    failures: dict[str, float] = {}
    durations: dict[str, dict[float, float]] = {}
    for (name, pairs), value in after.items():
        earlier = before.get((name, pairs), 0.0)
        added = value - earlier if value >= earlier else value
        labels = dict(pairs)
        version = _version(labels, versions)
        failed = _failed(labels)
        if name == REQUESTS:
            requests[version] = requests.get(version, 0.0) + added
            failures[version] = failures.get(version, 0.0) + (added if failed else 0.0)
        elif name == DURATIONS and not failed:
            histogram = durations.setdefault(version, {})
            bound = float(labels["le"])
            histogram[bound] = histogram.get(bound, 0.0) + added
    lost = failures.get("", 0.0)

    def observed(version: str, lost: float = 0.0) -> Observed:
        return Observed(
            requests.get(version, 0.0) + lost, failures.get(version, 0.0) + lost, durations.get(version, {})
        )

    return Comparison(observed(versions.stable), observed(versions.canary, lost), lost)


def _version(labels: Labels, versions: Versions) -> str:
    """Whose request it was; empty if it reached none, as Istio says by `unknown`."""
    told = labels.get("destination_version", "unknown")
    if told not in ("unknown", ""):
        return told
    for version in (versions.stable, versions.canary):
        if labels.get("destination_service_name") == f"{versions.service.name}-{version}":
            return version
    return ""


def _failed(labels: Labels) -> bool:
    """5xx, or 0: the connection ended before an answer, as when the caller lost patience."""
    code = labels.get("response_code", "")
    return code == "0" or (len(code) == 3 and code.startswith("5"))


def _sum(histograms: Iterable[Histogram]) -> Histogram:
    total: dict[float, float] = {}
    for histogram in histograms:
        for bound, count in histogram.items():
            total[bound] = total.get(bound, 0.0) + count
    return total
