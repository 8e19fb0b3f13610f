"""What a Prometheus is told to scrape."""

from dataclasses import replace
from pathlib import Path

from bookinfo_lab.observe import prometheus
from bookinfo_lab.resources.topology import Service, ServicePort, Topology, Workload

REVIEWS = Workload(
    name="reviews-v2-0123456789-abcde",
    deployment="reviews-v2",
    namespace="default",
    labels={"app": "reviews", "version": "v2"},
    service_account="sa",
    address="127.64.0.4",
    ports={"http": 9080},
)
PLAIN = replace(REVIEWS, name="plain", address="127.64.0.5", labels={"app": "x"}, sidecar=False, ports={"http": 9081})
CLIENT = replace(REVIEWS, name="client", address="127.64.0.6", ports={})
SERVICE = Service("reviews", "default", (ServicePort(9080, "http", 9080),), {"app": "reviews"})
TOPOLOGY = Topology((SERVICE,), (REVIEWS, PLAIN, CLIENT), ())


def test_every_workload_that_serves_is_a_target_at_its_sidecars_door_or_its_own() -> None:
    assert [group["targets"] for group in prometheus.targets(TOPOLOGY)] == [["127.64.0.4:15020"], ["127.64.0.5:9081"]]


def test_a_target_has_the_labels_that_rules_and_dashboards_rest_on() -> None:
    assert prometheus.targets(TOPOLOGY)[0]["labels"] == {
        "app": "reviews",
        "version": "v2",
        "service": "reviews",
        "namespace": "default",
        "workload": "reviews-v2",
        "pod": "reviews-v2-0123456789-abcde",
    }


def test_a_prometheus_asks_the_lab_for_its_targets_so_that_it_learns_of_new_pods() -> None:
    services, istio = prometheus.config("http://127.64.0.2:4318", Path("/rules"))["scrape_configs"]

    assert services["http_sd_configs"] == [{"url": "http://127.64.0.2:4318/targets", "refresh_interval": "5s"}]
    assert istio["static_configs"] == [{"targets": ["127.64.0.2:4318"]}]


def test_targets_that_are_given_are_written_out() -> None:
    groups = prometheus.targets(TOPOLOGY)

    assert prometheus.config("http://127.64.0.2:4318", None, groups)["scrape_configs"][0]["static_configs"] == groups
