"""The requests between two readings of the counters."""

import math

import pytest
from canary.tests.conftest import counters_of, series

from bookinfo_canary.metrics import REQUESTS, SeriesSelector, requests_between
from bookinfo_canary.release_plan import Versions


def test_earlier_requests_do_not_count(versions: Versions) -> None:
    before = {**counters_of("v1", {"200": 500}), **counters_of("v2", {"200": 40, "503": 60})}
    after = {**counters_of("v1", {"200": 590}), **counters_of("v2", {"200": 50, "503": 60})}
    observed = requests_between(before, after, versions)
    assert (observed.stable.requests, observed.stable.failures) == (90, 0)
    assert (observed.canary.requests, observed.canary.failures) == (10, 0)


def test_first_errors_of_a_new_series_count(versions: Versions) -> None:
    """PromQL's `increase` would miss all of them."""
    observed = requests_between(counters_of("v2", {"200": 10}), counters_of("v2", {"200": 12, "500": 7}), versions)
    assert (observed.canary.requests, observed.canary.failures) == (9, 7)


def test_restarted_proxy_counts_from_zero(versions: Versions) -> None:
    observed = requests_between(counters_of("v1", {"200": 1000}), counters_of("v1", {"200": 30}), versions)
    assert observed.stable.requests == 30


@pytest.mark.parametrize(("code", "failures"), [("200", 0), ("302", 0), ("404", 0), ("500", 5), ("504", 5), ("0", 5)])
def test_failure_is_a_server_error_or_no_response(code: str, failures: int, versions: Versions) -> None:
    assert requests_between({}, counters_of("v2", {code: 5}), versions).canary.failures == failures


def test_only_successful_requests_have_a_duration(versions: Versions) -> None:
    """Otherwise a version that fails fast would look fast."""
    after = {**counters_of("v2", {"200": 3}, 200), **counters_of("v2", {"503": 97}, 1)}
    assert requests_between({}, after, versions).canary.durations[math.inf] == 3


def test_requests_that_reached_no_version_are_failures_of_the_canary(versions: Versions) -> None:
    unassigned = {series(REQUESTS, destination_version="unknown", response_code="503", response_flags="UH"): 4.0}
    observed = requests_between({}, {**counters_of("v2", {"200": 6}), **unassigned}, versions)
    assert (observed.canary.requests, observed.canary.failures, observed.unassigned_failures) == (10, 4, 4)
    assert observed.stable.requests == 0


def test_service_of_one_version_assigns_its_failures(versions: Versions) -> None:
    """The backends of an HTTPRoute are Services of the versions."""
    unassigned = series(
        REQUESTS, destination_service_name="reviews-v1", destination_version="unknown", response_code="503"
    )
    observed = requests_between({}, {unassigned: 4.0}, versions)
    assert (observed.stable.failures, observed.canary.failures) == (4, 0)


def test_other_versions_do_not_count(versions: Versions) -> None:
    observed = requests_between({}, counters_of("v3", {"500": 9}), versions)
    assert (observed.stable.requests, observed.canary.requests) == (0, 0)


def test_comparisons_can_be_added(versions: Versions) -> None:
    first = requests_between({}, counters_of("v1", {"200": 10, "500": 1}), versions)
    total = first + first
    assert (total.stable.requests, total.stable.failures, total.stable.durations[math.inf]) == (22, 2, 20)


def test_selector_matches_one_reporter_of_one_service(versions: Versions) -> None:
    selector = SeriesSelector.for_release(versions, "source")
    selected = dict(series(REQUESTS, destination_version="v1")[1])
    assert selector.matches(selected)
    assert selector.matches({**selected, "destination_service_name": "reviews-v2"})
    assert not selector.matches({**selected, "reporter": "destination"})
    assert not selector.matches({**selected, "destination_service_name": "ratings"})
    assert not selector.matches({**selected, "destination_service_namespace": "shop"})
