"""observability/addons: one version per component, and every reference resolves."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from .conftest import ROOT, manifests, read

ADDONS = manifests("observability/addons")
PROVISIONING = ROOT / "observability/grafana/provisioning"


def config(name: str) -> tuple[str, dict[str, Any]]:
    """Return the only file of a ConfigMap, as text and parsed."""
    (data,) = (
        item.body["data"]
        for item in ADDONS
        if (item.body["kind"], item.body["metadata"]["name"]) == ("ConfigMap", name)
    )
    (text,) = data.values()
    return text, yaml.safe_load(text)


def services() -> set[tuple[str, str, int]]:
    """Return namespace, name and port of each Service, under all its names."""
    found: set[tuple[str, str, int]] = set()
    for item in ADDONS:
        if item.body["kind"] != "Service":
            continue
        where, spec = item.body["metadata"], item.body["spec"]
        found |= {(where["namespace"], where["name"], port["port"]) for port in spec.get("ports", [])}
    for item in ADDONS:
        if item.body["kind"] == "Service" and (target := item.body["spec"].get("externalName")):
            name, namespace, *_ = target.split(".")
            where = item.body["metadata"]
            found |= {
                (where["namespace"], where["name"], port)
                for in_namespace, of_name, port in found
                if (in_namespace, of_name) == (namespace, name)
            }
    return found


def is_served(url: str, namespace: str) -> bool:
    """Whether the URL leads to a Service for a pod of the namespace."""
    parts = urlsplit(url)
    name, _, rest = (parts.hostname or "").partition(".")
    return (rest.partition(".")[0] or namespace, name, parts.port or 80) in services()


def test_versions_equal_those_of_compose_and_the_cluster() -> None:
    text = (ROOT / ".env").read_text() + (ROOT / "cluster/versions.env").read_text()
    pinned = dict(re.findall(r"^(\w+)_IMAGE=(\S+?)(?:@sha256:\w+)?$", text, re.MULTILINE))
    images = {
        container["image"].removeprefix("docker.io/")
        for item in [*ADDONS, *manifests("istio/rate-limit")]
        if item.body["kind"] == "Deployment"
        for container in item.body["spec"]["template"]["spec"]["containers"]
    }
    assert images == {pinned[name] for name in ("PROMETHEUS", "GRAFANA", "JAEGER", "KIALI", "RATELIMIT", "REDIS")}


def test_grafana_data_sources_exist() -> None:
    for file in (PROVISIONING / "datasources").glob("*.yaml"):
        for source in yaml.safe_load(file.read_text())["datasources"]:
            assert is_served(source["url"], "monitoring"), source["url"]


def test_dashboard_directories_are_mounted() -> None:
    (pod,) = (
        item.body["spec"]["template"]["spec"]
        for item in ADDONS
        if (item.body["kind"], item.body["metadata"]["name"]) == ("Deployment", "grafana")
    )
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    for file in (PROVISIONING / "dashboards").glob("*.yaml"):
        for provider in yaml.safe_load(file.read_text())["providers"]:
            assert provider["options"]["path"] in mounts


def test_services_that_kiali_calls_exist() -> None:
    _, parsed = config("kiali")
    external = parsed["external_services"]
    urls = [external["prometheus"]["url"], external["grafana"]["internal_url"], external["tracing"]["internal_url"]]
    assert [url for url in urls if not is_served(url, "istio-system")] == []


def test_kiali_has_only_read_permissions() -> None:
    (role,) = (
        item.body for item in ADDONS if (item.body["kind"], item.body["metadata"]["name"]) == ("ClusterRole", "kiali")
    )
    writing = {verb for rule in role["rules"] for verb in rule["verbs"]} - {"get", "list", "watch"}
    assert writing == {"create"}  # only of port forwards
    assert [rule["resources"] for rule in role["rules"] if "create" in rule["verbs"]] == [["pods/portforward"]]


def test_mesh_sends_traces_to_jaeger() -> None:
    values = yaml.safe_load((ROOT / "istio/telemetry/mesh/values.yaml").read_text())
    (provider,) = values["meshConfig"]["extensionProviders"]
    (telemetry,) = read("istio/telemetry/tracing-and-access-log.yaml")
    assert provider["name"] == telemetry["spec"]["tracing"][0]["providers"][0]["name"]
    collector = provider["opentelemetry"]
    name, namespace, *_ = collector["service"].split(".")
    assert (namespace, name, collector["port"]) in services()


def test_sidecars_keep_the_statistics_of_the_scenarios() -> None:
    from bookinfo_lab.scenarios.definitions import SCENARIOS
    from bookinfo_lab.scenarios.model import Counter

    values = yaml.safe_load((ROOT / "istio/telemetry/mesh/values.yaml").read_text())
    kept = [re.compile(item) for item in values["meshConfig"]["defaultConfig"]["proxyStatsMatcher"]["inclusionRegexps"]]
    patterns = {
        read.pattern
        for scenario in SCENARIOS
        for step in scenario.steps
        for observation in step.observations
        for claim in (*observation.effects, *observation.invariants)
        for read in claim.reads
        if isinstance(read, Counter) and not read.application
    }
    # A name that matches the pattern, without its optional parts.
    names = {example(pattern) for pattern in patterns}
    assert {name for name in names if not any(regex.fullmatch(name) for regex in kept)} == set()


def example(pattern: str) -> str:
    name = re.sub(r"\([^)]*\)\?|;\?", "", pattern)
    name = re.sub(r"\[\^\|\]\*", "", name).replace(".*", "x")
    name = re.sub(r"\\(.)", r"\1", name)
    assert re.fullmatch(pattern, name), (pattern, name)
    return name


ANNOTATION = "__meta_kubernetes_pod_annotation_prometheus_io_"
POD = {
    "__meta_kubernetes_namespace": "default",
    "__meta_kubernetes_pod_name": "reviews-v1-1",
    "__meta_kubernetes_pod_ip": "10.1.2.3",
    "__meta_kubernetes_pod_phase": "Running",
    f"{ANNOTATION}scrape": "true",
    f"{ANNOTATION}port": "15020",
    f"{ANNOTATION}path": "/stats/prometheus",
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="install prometheus: promtool relabels the targets")
@pytest.mark.parametrize(
    ("pod", "scraped"),
    [
        (POD, "10.1.2.3:15020/stats/prometheus"),
        (POD | {"__meta_kubernetes_pod_ip": "fd00::7"}, "[fd00::7]:15020/stats/prometheus"),
        (POD | {f"{ANNOTATION}path": "", f"{ANNOTATION}port": "9080"}, "10.1.2.3:9080/metrics"),
        (POD | {f"{ANNOTATION}scrape": "false"}, ""),
        (POD | {"__meta_kubernetes_pod_phase": "Succeeded"}, ""),
        (POD | {"__meta_kubernetes_pod_container_init": "true"}, ""),
    ],
)
def test_prometheus_scrapes_annotated_pods(tmp_path: Path, pod: dict[str, str], scraped: str) -> None:
    """Debian's Prometheus has no Kubernetes discovery, so static targets carry the labels of the discovery."""
    _, parsed = config("prometheus")
    (job,) = parsed["scrape_configs"]
    del job["kubernetes_sd_configs"]
    job["static_configs"] = [{"targets": [f"{pod['__meta_kubernetes_pod_ip'].replace('::', '-')}:1"], "labels": pod}]
    (tmp_path / "rules").symlink_to(ROOT / "observability/rules")
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(parsed))
    command = ["promtool", "check", "service-discovery", "--timeout=1s", "prometheus.yaml", "pods"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = [target.get("labels") or {} for target in json.loads(result.stdout)]
    addresses = [f"{labels['__address__']}{labels['__metrics_path__']}" for labels in found if labels]
    assert addresses == ([scraped] if scraped else [])
