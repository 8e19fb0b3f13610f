"""What the controller's tests share: a service, and what its proxies would count."""

import math
from collections.abc import Mapping

import pytest

from bookinfo_canary.metrics import DURATIONS, REQUESTS, Series, Snapshot
from bookinfo_canary.plan import Criteria, Service, Versions

BOUNDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, math.inf)
"""Istio's buckets, as far as they are used here."""


@pytest.fixture
def versions() -> Versions:
    return Versions(Service("reviews", "default"), "v1", "v2")


@pytest.fixture
def criteria() -> Criteria:
    return Criteria(min_requests=100, min_success=0.99, max_success_drop=0.01, max_p99_ratio=1.5, p99_floor=50)


def series(name: str, **labels: str) -> Series:
    """One series, by default of the source's account of reviews."""
    usual = {
        "reporter": "source",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "source_workload": "productpage-v1",
    }
    return name, frozenset({**usual, **labels}.items())


def counted(version: str, codes: Mapping[str, int], milliseconds: float = 8.0) -> Snapshot:
    """Counters after so many requests by status, all of which took so long."""
    counters: dict[Series, float] = {}
    for code, count in codes.items():
        counters[series(REQUESTS, destination_version=version, response_code=code)] = count
        for bound in BOUNDS:
            le = "+Inf" if math.isinf(bound) else f"{bound:g}"
            bucket = series(DURATIONS, destination_version=version, response_code=code, le=le)
            counters[bucket] = count if milliseconds <= bound else 0
    return counters
