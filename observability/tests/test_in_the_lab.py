"""Every query of the dashboards and rules, on a real Prometheus that scrapes the running lab under load."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from observability.tests.queries import EVERY, ROOT, panels, recorded

from bookinfo_testing.polling import eventually
from bookinfo_testing.processes import running
from bookinfo_testing.prometheus import Prometheus, run_prometheus

BOOKINFO = (sys.executable, "-m", "bookinfo_lab")

CHOICES = {
    "services": {"namespace": EVERY, "app": EVERY},
    "mesh": {"namespace": EVERY, "service": EVERY, "reporter": "source"},
    "canary": {"namespace": EVERY, "app": "reviews", "stable": "v1", "canary": "v2"},
}
"""What somebody who opens a dashboard sees first."""

EDGES = {
    ("istio-ingressgateway", "productpage"),
    ("productpage-v1", "details"),
    ("productpage-v1", "reviews"),
    ("reviews-v2", "ratings"),
    ("reviews-v3", "ratings"),
}
ALERTS = {
    rule["alert"]
    for path in (ROOT / "observability/rules").glob("*.yaml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


@dataclass(frozen=True)
class Lab:
    """The `bookinfo` command on a state directory of its own."""

    env: dict[str, str]

    def __call__(self, *arguments: str | Path) -> str:
        done = subprocess.run([*BOOKINFO, *arguments], env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab under load."""
    state = tmp_path_factory.mktemp("state")
    lab = Lab({**os.environ, "XDG_STATE_HOME": str(state), "BOOKINFO_LAB": "observed"})
    lab("up", "--detach", "--gateway-port=0", "--no-watch")
    try:
        with running((*BOOKINFO, "load", "--rps=10"), state / "load.log", lab.env):
            yield lab
    finally:
        lab("down")


@pytest.fixture(scope="module")
def prometheus(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with the configuration that the lab prints."""
    with run_prometheus(lab("prometheus-config"), tmp_path_factory.mktemp("prometheus")) as prometheus:
        yield prometheus


def settled(silent: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What is silent still, when all else has spoken or time is up."""
    deadline = time.monotonic() + 90
    while (found := silent()) and time.monotonic() < deadline:
        time.sleep(1)
    return found


@pytest.mark.parametrize("dashboard", CHOICES)
def test_every_panel_has_data(prometheus: Prometheus, dashboard: str) -> None:
    assert settled(lambda: prometheus.without_data(panels(dashboard, CHOICES[dashboard]))) == {}


def test_a_query_without_data_or_without_a_number_is_noticed(prometheus: Prometheus) -> None:
    queries = {"nothing": "no_such_metric", "no number": "0 * vector(1) / 0", "fine": "vector(0)"}
    assert set(prometheus.without_data(iter(queries.items()))) == {"nothing", "no number"}


@pytest.mark.parametrize("dashboard", CHOICES)
def test_every_variable_has_something_to_choose(prometheus: Prometheus, dashboard: str) -> None:
    for name, query in variables(dashboard):
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert found
        values = prometheus.api(f"label/{found[2]}/values", **{"match[]": found[1]})
        assert values, name
        chosen = CHOICES[dashboard][name]
        assert chosen == EVERY or chosen in values


def variables(dashboard: str) -> list[tuple[str, str]]:
    source = yaml.safe_load((ROOT / f"observability/sources/{dashboard}.yaml").read_text())
    filled = [(name, variable["query"]) for name, variable in source["variables"].items()]
    for chosen, value in CHOICES[dashboard].items():
        filled = [(name, query.replace(f"${chosen}", value)) for name, query in filled]
    return filled


@pytest.mark.parametrize("file", ["services", "mesh"])
def test_every_recorded_series_has_data(prometheus: Prometheus, file: str) -> None:
    assert settled(lambda: prometheus.without_data((name, name) for name in recorded(file))) == {}
    assert prometheus.unhealthy_rules() == {}


def test_the_mesh_dashboard_shows_exactly_the_edges_of_the_graph(prometheus: Prometheus) -> None:
    def shown() -> set[tuple[str, str]]:
        (expr,) = [expr for title, expr in panels("mesh", CHOICES["mesh"]) if title == "Rate (A)"]
        found = [labels for labels, value in prometheus.samples(expr) if value]
        return {(labels["source_workload"], labels["destination_service_name"]) for labels in found}

    eventually(lambda: shown() >= EDGES)
    assert shown() == EDGES


def test_what_services_and_proxies_tell_of_the_same_requests_agrees(prometheus: Prometheus) -> None:
    own = 'sum by (app) (rate(http_requests_total{app="details"}[30s]))'
    proxies = (
        "sum by (destination_app) (rate(istio_requests_total{destination_app='details', reporter='destination'}[30s]))"
    )

    def both() -> tuple[float, float] | None:
        found = [prometheus.samples(expr) for expr in (own, proxies)]
        return (found[0][0][1], found[1][0][1]) if all(found) else None

    # Scraped at different moments, and first seen at different ones.
    eventually(lambda: (rates := both()) and rates[0] > 5 and abs(rates[0] / rates[1] - 1) < 0.1)


def test_calls_in_the_lab_are_mutual_tls(prometheus: Prometheus) -> None:
    (expr,) = [expr for title, expr in panels("mesh", CHOICES["mesh"]) if title == "Mutual TLS (A)"]
    shares = {labels["destination_service_name"]: value for labels, value in prometheus.samples(expr)}
    assert shares == dict.fromkeys(("productpage", "details", "reviews", "ratings"), 1)


def test_a_slow_request_s_trace_is_found_by_an_exemplar(prometheus: Prometheus) -> None:
    now = time.time()
    found = prometheus.api(
        "query_exemplars",
        query='http_request_duration_seconds_bucket{app="productpage"}',
        start=f"{now - 300}",
        end=f"{now}",
    )
    assert re.fullmatch("[0-9a-f]{32}", found[0]["exemplars"][0]["labels"]["trace_id"])


def test_alerts_stay_quiet_while_all_is_well_and_each_is_raised_by_what_it_is_about(
    lab: Lab, prometheus: Prometheus
) -> None:
    slow = {"BookinfoSlow", "BookinfoMeshSlow"}  # which a busy machine may be
    assert prometheus.alerts() - slow == set()

    lab("apply", "--filename", ROOT / "kubernetes/ratings-failing.yaml")
    eventually(lambda: prometheus.alerts() >= {alert for alert in ALERTS if "Errors" in alert})

    lab("apply", "--filename", ROOT / "istio/timeouts/ratings-delay-2s.yaml")
    eventually(lambda: prometheus.alerts() >= slow)

    lab("scale", "details-v1", "--replicas=0")
    eventually(lambda: prometheus.alerts() == ALERTS)
    told = prometheus.api("alerts")["alerts"]
    assert {alert["labels"]["app"] for alert in told if alert["labels"]["alertname"] == "BookinfoServiceDown"} == {
        "details"
    }
    texts = [text for alert in told for text in alert["annotations"].values()]
    assert [text for text in texts if "{{" in text or ("error" in text.lower() and "template" in text.lower())] == []
