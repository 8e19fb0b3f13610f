"""Monitoring: dashboards, Prometheus rules, and the monitors of the Prometheus operator."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import Helm, HelmError, Objects, Overlay, copy_chart, identities, named, of_kind


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """The chart with one dashboard and two rule files of the test."""
    chart = copy_chart(tmp_path)
    for name in ("dashboards", "rules"):
        shutil.rmtree(chart / "files" / name)
        (chart / "files" / name).mkdir()
    (chart / "files/dashboards/pages.json").write_text('{"title": "Pages", "legend": "{{version}}"}')
    for name in ("pages", "mesh"):
        group = {"name": name, "rules": [{"record": f"{name}:rate", "expr": 'rate(x{app="details"}[5m])'}]}
        (chart / f"files/rules/{name}.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    return chart


def test_each_dashboard_is_rendered_as_a_config_map_with_grafanas_label(helm: Helm, chart: Path) -> None:
    rendered = helm.render({"dashboards": {"enabled": True}}, chart=chart)
    config_map = named(rendered, "ConfigMap", "bookinfo-dashboard-pages")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["data"] == {"pages.json": '{"title": "Pages", "legend": "{{version}}"}'}


def test_all_rule_files_are_rendered_as_one_prometheus_rule(helm: Helm, chart: Path) -> None:
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    rule = named(helm.render(values, chart=chart), "PrometheusRule", "bookinfo")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert [group["name"] for group in rule["spec"]["groups"]] == ["mesh", "pages"]
    assert rule["spec"]["groups"][1]["rules"][0]["expr"] == 'rate(x{app="details"}[5m])'


@pytest.mark.parametrize(
    ("block", "directory", "message"),
    [
        ("dashboards", "dashboards", r"dashboards\.enabled requires dashboards: .* contains no \*\.json; add one"),
        ("prometheusRule", "rules", r"prometheusRule\.enabled requires rules: .* contains no \*\.yaml; add one"),
    ],
)
def test_empty_directory_of_dashboards_or_rules_is_rejected(
    helm: Helm, chart: Path, block: str, directory: str, message: str
) -> None:
    for path in (chart / "files" / directory).iterdir():
        path.unlink()
    with pytest.raises(HelmError, match=message):
        helm.render({block: {"enabled": True}}, chart=chart)


@pytest.mark.parametrize(
    ("block", "path", "message"),
    [
        (
            "dashboards",
            "dashboards/pages.json",
            r"files/dashboards/pages\.json: invalid dashboard: expected JSON with a title",
        ),
        ("prometheusRule", "rules/pages.yaml", r"files/rules/pages\.yaml contains no rule groups"),
    ],
)
def test_empty_dashboard_or_rule_file_is_rejected(helm: Helm, chart: Path, block: str, path: str, message: str) -> None:
    (chart / "files" / path).write_text("")
    with pytest.raises(HelmError, match=message):
        helm.render({block: {"enabled": True}}, chart=chart)


def test_monitors_select_each_pod_once(overlay: Overlay) -> None:
    def selected(selector: dict[str, Any], label: str, rendered: Objects) -> set[str]:
        (expression,) = selector["matchExpressions"]
        assert expression["key"] == label
        return set(expression["values"])

    by_service = overlay("ingress")
    monitor = named(by_service, "ServiceMonitor", "bookinfo")["spec"]
    services = selected(monitor["selector"], "service", by_service)
    assert services == {item["metadata"]["labels"]["service"] for item in of_kind(by_service, "Service")}
    assert monitor["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]

    with_version_services = overlay("gateway-routes")
    monitor = named(with_version_services, "PodMonitor", "bookinfo")["spec"]
    assert selected(monitor["selector"], "app", with_version_services) == services
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert (endpoint["path"], endpoint["interval"]) == ("/stats/prometheus", "15s")
    assert ("ServiceMonitor", "bookinfo") not in identities(with_version_services)


def discovered(address: str) -> Objects:
    """Return the targets that Kubernetes discovery finds in an injected pod: one for each port of its containers."""
    pod = {
        "__meta_kubernetes_pod_ip": address,
        "__meta_kubernetes_pod_annotation_prometheus_io_port": "15020",  # the agent's port, written by the injector
    }
    containers = [("reviews", "9080"), ("istio-proxy", "15090"), ("istio-init", "")]
    host = f"[{address}]" if ":" in address else address
    return [
        {
            "targets": [f"{host}:{port}" if port else host],
            "labels": pod | {"__meta_kubernetes_pod_container_name": name}
            | ({"__meta_kubernetes_pod_container_port_number": port} if port else {}),
        }
        for name, port in containers
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("promtool") is None, reason="install prometheus: promtool relabels the targets")
def test_prometheus_discovers_the_agent_of_each_sidecar_once(overlay: Overlay, tmp_path: Path) -> None:
    (endpoint,) = named(overlay("sidecar"), "PodMonitor", "bookinfo")["spec"]["podMetricsEndpoints"]
    # Translate the endpoint like the operator: names become snake case, and a port becomes a keep rule.
    relabel_configs = [
        {re.sub("[A-Z]", r"_\g<0>", key).lower(): value for key, value in rule.items()}
        for rule in endpoint.get("relabelings", [])
    ]
    for key, label in (("port", "name"), ("portNumber", "number")):
        if key in endpoint:
            source = f"__meta_kubernetes_pod_container_port_{label}"
            relabel_configs.insert(0, {"action": "keep", "source_labels": [source], "regex": str(endpoint[key])})
    job = {
        "job_name": "pods",
        "metrics_path": endpoint["path"],
        "relabel_configs": relabel_configs,
        "static_configs": discovered("10.1.2.3") + discovered("fd00::7"),
    }
    (tmp_path / "prometheus.yaml").write_text(json.dumps({"scrape_configs": [job]}))
    command = ["promtool", "check", "service-discovery", "--timeout=1s", "prometheus.yaml", "pods"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = [target["labels"] for target in json.loads(done.stdout) if target.get("labels")]
    assert sorted(f"{labels['__address__']}{labels['__metrics_path__']}" for labels in kept) == [
        "10.1.2.3:15020/stats/prometheus",
        "[fd00::7]:15020/stats/prometheus",
    ]


@pytest.mark.parametrize(
    ("name", "gateways"),
    [("gateway-routes", ["bookinfo-gateway"]), ("ambient-routes", ["bookinfo-gateway", "bookinfo-waypoint"])],
)
def test_pod_monitor_selects_the_envoys_of_gateway_and_waypoint(
    overlay: Overlay, name: str, gateways: list[str]
) -> None:
    rendered = overlay(name)
    spec = named(rendered, "PodMonitor", "bookinfo-gateways")["spec"]
    key = "gateway.networking.k8s.io/gateway-name"
    assert spec["selector"]["matchExpressions"] == [{"key": key, "operator": "In", "values": gateways}]
    assert spec["podMetricsEndpoints"] == [{"portNumber": 15020, "path": "/stats/prometheus", "interval": "15s"}]
    assert set(gateways) == {item["metadata"]["name"] for item in of_kind(rendered, "Gateway")}


@pytest.mark.parametrize("name", ["ingress", "gateway-routes", "ambient-routes"])
def test_targets_have_the_labels_that_rules_and_dashboards_use(overlay: Overlay, name: str) -> None:
    rendered = overlay(name)
    for kind in ("ServiceMonitor", "PodMonitor"):
        for monitor in of_kind(rendered, kind):
            if monitor["metadata"]["name"] == "bookinfo":
                spec = monitor["spec"]
                assert {*spec.get("targetLabels", []), *spec["podTargetLabels"]} == {"app", "version"}
