"""What two readings of the counters say."""

import math

import pytest
from canary.tests.conftest import counted, series

from bookinfo_canary.metrics import REQUESTS, Selector, between
from bookinfo_canary.plan import Versions


def test_what_was_before_does_not_count(versions: Versions) -> None:
    before = {**counted("v1", {"200": 500}), **counted("v2", {"200": 40, "503": 60})}
    after = {**counted("v1", {"200": 590}), **counted("v2", {"200": 50, "503": 60})}
    seen = between(before, after, versions)
    assert (seen.stable.requests, seen.stable.failures) == (90, 0)
    assert (seen.canary.requests, seen.canary.failures) == (10, 0)


def test_the_first_errors_of_a_version_count_although_their_series_is_new(versions: Versions) -> None:
    """PromQL's `increase` would see none of them."""
    seen = between(counted("v2", {"200": 10}), counted("v2", {"200": 12, "500": 7}), versions)
    assert (seen.canary.requests, seen.canary.failures) == (9, 7)


def test_a_proxy_that_began_anew_counts_from_nothing(versions: Versions) -> None:
    seen = between(counted("v1", {"200": 1000}), counted("v1", {"200": 30}), versions)
    assert seen.stable.requests == 30


@pytest.mark.parametrize(("code", "failures"), [("200", 0), ("302", 0), ("404", 0), ("500", 5), ("504", 5), ("0", 5)])
def test_a_failure_is_an_error_of_the_server_or_no_answer_at_all(code: str, failures: int, versions: Versions) -> None:
    assert between({}, counted("v2", {code: 5}), versions).canary.failures == failures


def test_only_successes_have_a_duration_that_counts(versions: Versions) -> None:
    """Otherwise a version that fails fast would look like a fast one."""
    after = {**counted("v2", {"200": 3}, 200), **counted("v2", {"503": 97}, 1)}
    assert between({}, after, versions).canary.durations[math.inf] == 3


def test_requests_that_reached_no_version_are_failures_of_the_canary(versions: Versions) -> None:
    lost = {series(REQUESTS, destination_version="unknown", response_code="503", response_flags="UH"): 4.0}
    seen = between({}, {**counted("v2", {"200": 6}), **lost}, versions)
    assert (seen.canary.requests, seen.canary.failures, seen.lost) == (10, 4, 4)
    assert seen.stable.requests == 0


def test_a_service_of_one_version_tells_whose_lost_requests_they_are(versions: Versions) -> None:
    """As with an HTTPRoute, whose backends are Services of the versions."""
    lost = series(REQUESTS, destination_service_name="reviews-v1", destination_version="unknown", response_code="503")
    seen = between({}, {lost: 4.0}, versions)
    assert (seen.stable.failures, seen.canary.failures) == (4, 0)


def test_other_versions_are_nobodys(versions: Versions) -> None:
    seen = between({}, counted("v3", {"500": 9}), versions)
    assert (seen.stable.requests, seen.canary.requests) == (0, 0)


def test_readings_add_up(versions: Versions) -> None:
    one = between({}, counted("v1", {"200": 10, "500": 1}), versions)
    two = one + one
    assert (two.stable.requests, two.stable.failures, two.stable.durations[math.inf]) == (22, 2, 20)


def test_only_the_asked_side_of_the_asked_service_is_read(versions: Versions) -> None:
    selector = Selector.of(versions, "source")
    mine = dict(series(REQUESTS, destination_version="v1")[1])
    assert selector.takes(mine)
    assert selector.takes({**mine, "destination_service_name": "reviews-v2"})
    assert not selector.takes({**mine, "reporter": "destination"})
    assert not selector.takes({**mine, "destination_service_name": "ratings"})
    assert not selector.takes({**mine, "destination_service_namespace": "shop"})
