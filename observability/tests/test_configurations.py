"""The configurations of Prometheus in this repository: each gives its targets what rules and dashboards rest on."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "observability/prometheus/prometheus.yaml").read_text())
    return found


def cluster() -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "observability/addons/prometheus.yaml").read_text())
    (config,) = [item for item in documents if item["kind"] == "ConfigMap"]
    found: dict[str, Any] = yaml.safe_load(config["data"]["prometheus.yaml"])
    return found


@pytest.mark.parametrize("config", [compose(), cluster()], ids=["compose", "cluster"])
def test_services_are_scraped_with_app_and_version_and_judged_by_the_rules(config: dict[str, Any]) -> None:
    services = config["scrape_configs"][0]
    given = {relabel.get("target_label") for relabel in services["relabel_configs"]}
    assert given >= {"app", "version"}
    assert config["rule_files"] == ["rules/*.yaml"]


def test_in_a_cluster_the_labels_are_those_of_the_pods_and_the_namespace() -> None:
    relabels = cluster()["scrape_configs"][0]["relabel_configs"]
    sources = {relabel["target_label"]: relabel["source_labels"] for relabel in relabels if "target_label" in relabel}
    assert {label: sources[label] for label in ("app", "version", "namespace")} == {
        "app": ["__meta_kubernetes_pod_label_app"],
        "version": ["__meta_kubernetes_pod_label_version"],
        "namespace": ["__meta_kubernetes_namespace"],
    }
