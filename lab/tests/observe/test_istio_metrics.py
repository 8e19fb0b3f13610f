"""Istio's standard metrics, made from requests."""

import math
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from bookinfo_lab.observe.istio_metrics import MeshMetrics
from bookinfo_lab.observe.requests import MeshRequest, Peer

REQUEST = MeshRequest(
    ended=1.0,
    reporter="source",
    source=Peer("productpage-v1", "default", "productpage", "v1", "spiffe://p"),
    destination=Peer("reviews-v2", "default", "reviews", "v2", "spiffe://r"),
    destination_service="reviews.default.svc.cluster.local",
    destination_port=9080,
    method="GET",
    code=200,
    flags="-",
    duration=0.007,
    security="unknown",
    trace_id="",
    request_bytes=0,
    response_bytes=377,
)
LABELS = {
    "reporter": "source",
    "source_workload": "productpage-v1",
    "source_workload_namespace": "default",
    "source_principal": "spiffe://p",
    "source_app": "productpage",
    "source_version": "v1",
    "source_canonical_service": "productpage",
    "source_canonical_revision": "v1",
    "source_cluster": "Kubernetes",
    "destination_workload": "reviews-v2",
    "destination_workload_namespace": "default",
    "destination_principal": "spiffe://r",
    "destination_app": "reviews",
    "destination_version": "v2",
    "destination_canonical_service": "reviews",
    "destination_canonical_revision": "v2",
    "destination_cluster": "Kubernetes",
    "destination_service": "reviews.default.svc.cluster.local",
    "destination_service_name": "reviews",
    "destination_service_namespace": "default",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
    "connection_security_policy": "unknown",
}


def samples(*requests: MeshRequest, most_series: int = 100) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What a scraper reads after these requests, by name."""
    metrics = MeshMetrics(most_series)
    for request in requests:
        metrics.observe(request)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(metrics.exposition()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_requests_are_counted_under_istios_labels() -> None:
    assert samples(REQUEST, REQUEST)["istio_requests_total"] == [(LABELS, 2)]


def test_durations_are_in_istios_buckets_of_milliseconds() -> None:
    read = samples(REQUEST, replace(REQUEST, duration=0.01), replace(REQUEST, duration=5000))
    buckets = {labels["le"]: value for labels, value in read["istio_request_duration_milliseconds_bucket"]}

    assert (buckets["5"], buckets["10"], buckets["3600000"], buckets["+Inf"]) == (0, 2, 2, 3)
    assert read["istio_request_duration_milliseconds_count"] == [(LABELS, 3)]
    assert math.isclose(read["istio_request_duration_milliseconds_sum"][0][1], 5000017, rel_tol=1e-5)


def test_bytes_are_those_of_the_bodies() -> None:
    read = samples(REQUEST)
    assert (read["istio_response_bytes_sum"][0][1], read["istio_request_bytes_sum"][0][1]) == (377, 0)


def test_what_nobody_knows_is_unknown_and_its_revision_the_latest_as_istio_has_it() -> None:
    ((labels, _),) = samples(replace(REQUEST, destination=Peer()))["istio_requests_total"]

    assert {name: value for name, value in labels.items() if name.startswith("destination_")} == {
        "destination_workload": "unknown",
        "destination_workload_namespace": "unknown",
        "destination_principal": "unknown",
        "destination_app": "unknown",
        "destination_version": "unknown",
        "destination_canonical_service": "unknown",
        "destination_canonical_revision": "latest",
        "destination_cluster": "unknown",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
    }


def test_hosts_outside_the_registry_are_one_series_however_many_are_asked_for() -> None:
    outside = replace(REQUEST, destination=Peer(service="PassthroughCluster"))
    read = samples(*(replace(outside, destination_service=f"{number}.example") for number in range(1000)))

    ((labels, count),) = read["istio_requests_total"]
    assert (labels["destination_service"], labels["destination_service_name"]) == ("unknown", "PassthroughCluster")
    assert count == 1000


def test_series_are_bounded_and_the_one_that_was_counted_least_recently_makes_room() -> None:
    first, second, third, fourth = (replace(REQUEST, code=code) for code in (200, 201, 202, 203))
    read = samples(first, second, third, first, fourth, most_series=3)

    assert {labels["response_code"] for labels, _ in read["istio_requests_total"]} == {"200", "202", "203"}


def test_a_value_cannot_break_out_of_its_label() -> None:
    ((labels, _),) = samples(replace(REQUEST, flags='a"} b\\\n'))["istio_requests_total"]
    assert labels["response_flags"] == 'a"} b\\\n'
