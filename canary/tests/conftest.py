"""Fixtures of the controller's tests: a service, and the counters of its proxies."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from canary.tests.fake_cluster import Cluster

from bookinfo_canary.metrics import DURATION_BUCKETS, REQUESTS, Series, Snapshot
from bookinfo_canary.release_plan import Criteria, Service, Versions
from bookinfo_testing import fake_kubernetes

BOUNDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, math.inf)
"""The buckets of Istio's histograms that these tests use."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with fake_kubernetes.serve() as (server, url):
        yield Cluster(tmp_path, server, url)


@pytest.fixture
def versions() -> Versions:
    return Versions(Service("reviews", "default"), "v1", "v2")


@pytest.fixture
def criteria() -> Criteria:
    return Criteria(min_requests=100, min_success=0.99, max_success_drop=0.01, max_p99_ratio=1.5, p99_floor_ms=50)


def series(name: str, **labels: str) -> Series:
    """Return one series; by default a request to reviews, reported by the caller's proxy."""
    defaults = {
        "reporter": "source",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "source_workload": "productpage-v1",
    }
    return name, frozenset({**defaults, **labels}.items())


def counters_of(version: str, codes: Mapping[str, int], milliseconds: float = 8.0) -> Snapshot:
    """Return the counters after these requests by status code, each of which took `milliseconds`."""
    counters: dict[Series, float] = {}
    for code, count in codes.items():
        counters[series(REQUESTS, destination_version=version, response_code=code)] = count
        for bound in BOUNDS:
            le = "+Inf" if math.isinf(bound) else f"{bound:g}"
            bucket = series(DURATION_BUCKETS, destination_version=version, response_code=code, le=le)
            counters[bucket] = count if milliseconds <= bound else 0
    return counters
