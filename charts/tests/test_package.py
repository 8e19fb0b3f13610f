"""The package: what stands elsewhere in the repository is in it, and an empty file never becomes an empty manifest."""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import CHART, ROOT, Helm, Objects, RefusedError, identities, named, of_kind

LINKS = {
    "files/istio/gateway": "istio/gateway",
    "files/istio/security": "istio/security",
    "files/istio/telemetry": "istio/telemetry",
    "files/dashboards": "observability/dashboards",
    "files/rules": "observability/rules",
}


@pytest.fixture(scope="module")
def package(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged chart."""
    folder = tmp_path_factory.mktemp("package")
    helm.run("package", str(CHART), "--destination", str(folder))
    (archive,) = folder.glob("*.tgz")
    return archive


def contents(archive: Path) -> dict[str, bytes]:
    """Files of the package by their path in the chart."""
    with tarfile.open(archive) as opened:
        members = [member for member in opened if member.isfile()]
        assert len(members) == len(opened.getnames()), "a link that Helm did not follow"
        return {member.name.removeprefix("bookinfo/"): reader(opened, member) for member in members}


def reader(opened: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    extracted = opened.extractfile(member)
    assert extracted
    return extracted.read()


def copy_of_the_chart(folder: Path) -> Path:
    """The chart with its links followed, to be spoilt."""
    return Path(shutil.copytree(CHART, folder / "bookinfo", symlinks=False))


def test_the_chart_s_links_lead_to_the_only_homes_of_their_files() -> None:
    assert {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_symlink()} == set(LINKS)
    for link, home in LINKS.items():
        assert (CHART / link).resolve() == ROOT / home
        assert not (CHART / link).readlink().is_absolute()


def test_the_package_holds_what_the_links_lead_to(package: Path) -> None:
    packaged = contents(package)
    expected = {
        f"{link}/{path.name}": path.read_bytes()
        for link, home in LINKS.items()
        for pattern in ("*.yaml", "*.json")
        for path in (ROOT / home).glob(pattern)
    }
    assert len(expected) > 5
    assert {path: packaged.get(path) for path in expected} == expected


def test_the_package_holds_what_users_need_and_not_what_developers_do(package: Path) -> None:
    packaged = contents(package)
    assert {"README.md", "values.yaml", "values.schema.json", "values-istio.yaml", "templates/NOTES.txt"} <= set(
        packaged
    )
    assert [path for path in packaged if path.startswith("ci/") or "tokens" in path] == []


@pytest.mark.parametrize("overlay_name", ["istio", "gateway-api", "ambient", "production"])
def test_the_package_renders_what_the_folder_does(helm: Helm, package: Path, overlay_name: str) -> None:
    overlay = CHART / f"values-{overlay_name}.yaml"
    given = {"session": {"secret": "sixteen-characters-or-more"}}
    assert helm.render(given, overlay, chart=package) == helm.render(given, overlay)


SPOILT = [
    ("files/istio/gateway/bookinfo-gateway.yaml", "values-istio.yaml"),
    ("files/istio/gateway/bookinfo-gateway.yaml", "values-gateway-api.yaml"),
    ("files/istio/gateway/destination-rules.yaml", "values-istio.yaml"),
    ("files/istio/security/mtls-strict.yaml", "values-istio.yaml"),
    ("files/istio/security/allow-nothing.yaml", "values-istio.yaml"),
    ("files/istio/security/allow-reviews-to-ratings.yaml", "values-istio.yaml"),
    ("files/istio/telemetry/tracing-and-access-log.yaml", "ci/sidecar-values.yaml"),
]


@pytest.mark.parametrize(("path", "values"), SPOILT)
def test_an_empty_file_is_refused(helm: Helm, tmp_path: Path, path: str, values: str) -> None:
    chart = copy_of_the_chart(tmp_path)
    (chart / path).write_text("")
    with pytest.raises(RefusedError, match=f"{path} is missing or empty in this chart: it is a symbolic link"):
        helm.render(None, CHART / values, chart=chart)


def test_a_checkout_without_links_is_refused(helm: Helm, tmp_path: Path) -> None:
    """Git writes a link as a file with its target where it may not make links."""
    chart = copy_of_the_chart(tmp_path)
    shutil.rmtree(chart / "files/istio/security")
    (chart / "files/istio/security").write_text("../../../../istio/security")
    with pytest.raises(RefusedError, match=r"security.* check out links \(git config core\.symlinks true\)"):
        helm.render(None, CHART / "values-istio.yaml", chart=chart)


def test_a_missing_test_program_is_refused(helm: Helm, tmp_path: Path) -> None:
    chart = copy_of_the_chart(tmp_path)
    (chart / "files/probe.py").write_text("")
    with pytest.raises(RefusedError, match=r"files/probe\.py is missing in this chart"):
        helm.render(chart=chart)


def test_the_package_s_dashboards_are_those_of_the_repository_byte_for_byte(helm: Helm, package: Path) -> None:
    rendered = helm.render({"dashboards": {"enabled": True}}, chart=package)
    found = {name: text for item in of_kind(rendered, "ConfigMap") for name, text in item["data"].items()}
    assert found == {path.name: path.read_text() for path in (ROOT / "observability/dashboards").glob("*.json")}
    assert len(found) == 3


def test_the_package_s_rules_are_those_of_the_repository(helm: Helm, package: Path) -> None:
    rendered = helm.render({"prometheusRule": {"enabled": True}}, chart=package)
    spec = named(rendered, "PrometheusRule", "bookinfo")["spec"]
    files = sorted((ROOT / "observability/rules").glob("*.yaml"))
    assert spec["groups"] == [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    assert len(spec["groups"]) == 4


# What of observability/ is refused, and how it is named: held with files of the test's own, whatever stands there.


@pytest.fixture
def observed(tmp_path: Path) -> Path:
    """The chart with one dashboard and two rule files."""
    chart = copy_of_the_chart(tmp_path)
    for folder in ("dashboards", "rules"):
        shutil.rmtree(chart / "files" / folder)
        (chart / "files" / folder).mkdir()
    (chart / "files/dashboards/pages.json").write_text('{"title": "Pages", "legend": "{{version}}"}')
    for name in ("pages", "mesh"):
        group = {"name": name, "rules": [{"record": f"{name}:rate", "expr": 'rate(x{app="details"}[5m])'}]}
        (chart / f"files/rules/{name}.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    return chart


def test_each_dashboard_becomes_a_config_map_that_grafana_finds(helm: Helm, observed: Path) -> None:
    rendered = helm.render({"dashboards": {"enabled": True}}, chart=observed)
    found = named(rendered, "ConfigMap", "bookinfo-dashboard-pages")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["data"] == {"pages.json": '{"title": "Pages", "legend": "{{version}}"}'}


def test_all_rule_files_become_one_prometheus_rule(helm: Helm, observed: Path) -> None:
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    found = named(helm.render(values, chart=observed), "PrometheusRule", "bookinfo")
    assert found["metadata"]["labels"]["release"] == "prometheus"
    assert [group["name"] for group in found["spec"]["groups"]] == ["mesh", "pages"]
    assert found["spec"]["groups"][1]["rules"][0]["expr"] == 'rate(x{app="details"}[5m])'


@pytest.mark.parametrize(
    ("block", "folder", "message"),
    [
        ("dashboards", "dashboards", r"observability/dashboards .* holds no \*\.json: turn it off, or add them there"),
        ("prometheusRule", "rules", "observability/rules .* holds no rules: turn it off, or add them there"),
    ],
)
def test_an_empty_folder_is_refused(helm: Helm, observed: Path, block: str, folder: str, message: str) -> None:
    for path in (observed / "files" / folder).iterdir():
        path.unlink()
    with pytest.raises(RefusedError, match=message):
        helm.render({block: {"enabled": True}}, chart=observed)


@pytest.mark.parametrize(
    ("block", "path", "message"),
    [
        ("dashboards", "dashboards/pages.json", r"files/dashboards/pages\.json is no dashboard: it has no title"),
        ("prometheusRule", "rules/pages.yaml", r"files/rules/pages\.yaml holds no rule groups"),
    ],
)
def test_an_empty_file_of_observability_is_refused(
    helm: Helm, observed: Path, block: str, path: str, message: str
) -> None:
    (observed / "files" / path).write_text("")
    with pytest.raises(RefusedError, match=message):
        helm.render({block: {"enabled": True}}, chart=observed)


def test_monitors_ask_every_pod_once(overlay: Callable[[str], Objects]) -> None:
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
    """Kubernetes' targets of one injected pod: one for each declared port, of native sidecars too."""
    pod = {
        "__meta_kubernetes_pod_ip": address,
        "__meta_kubernetes_pod_annotation_prometheus_io_port": "15020",  # the injector's; the agent's own port
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
def test_prometheus_asks_the_agent_of_every_sidecar_once(overlay: Callable[[str], Objects], tmp_path: Path) -> None:
    (endpoint,) = named(overlay("sidecar"), "PodMonitor", "bookinfo")["spec"]["podMetricsEndpoints"]
    # Prometheus spells it in snake case, and the operator keeps declared ports alone where one is asked for.
    own = [
        {re.sub("[A-Z]", r"_\g<0>", key).lower(): value for key, value in rule.items()}
        for rule in endpoint.get("relabelings", [])
    ]
    for key, label in (("port", "name"), ("portNumber", "number")):
        if key in endpoint:
            source = f"__meta_kubernetes_pod_container_port_{label}"
            own.insert(0, {"action": "keep", "source_labels": [source], "regex": str(endpoint[key])})
    job = {
        "job_name": "pods",
        "metrics_path": endpoint["path"],
        "relabel_configs": own,
        "static_configs": discovered("10.1.2.3") + discovered("fd00::7"),
    }
    (tmp_path / "prometheus.yaml").write_text(json.dumps({"scrape_configs": [job]}))
    command = ["promtool", "check", "service-discovery", "--timeout=1s", "prometheus.yaml", "pods"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    asked = [target["labels"] for target in json.loads(answer.stdout) if target.get("labels")]
    assert sorted(f"{labels['__address__']}{labels['__metrics_path__']}" for labels in asked) == [
        "10.1.2.3:15020/stats/prometheus",
        "[fd00::7]:15020/stats/prometheus",
    ]


@pytest.mark.parametrize(
    ("name", "gateways"),
    [("gateway-routes", ["bookinfo-gateway"]), ("ambient-routes", ["bookinfo-gateway", "bookinfo-waypoint"])],
)
def test_the_envoys_of_gateway_and_waypoint_are_asked_for_what_they_tell_of_the_mesh(
    overlay: Callable[[str], Objects], name: str, gateways: list[str]
) -> None:
    rendered = overlay(name)
    spec = named(rendered, "PodMonitor", "bookinfo-gateways")["spec"]
    key = "gateway.networking.k8s.io/gateway-name"
    assert spec["selector"]["matchExpressions"] == [{"key": key, "operator": "In", "values": gateways}]
    assert spec["podMetricsEndpoints"] == [{"portNumber": 15020, "path": "/stats/prometheus", "interval": "15s"}]
    assert set(gateways) == {item["metadata"]["name"] for item in of_kind(rendered, "Gateway")}


@pytest.mark.parametrize("name", ["ingress", "gateway-routes", "ambient-routes"])
def test_every_target_has_the_labels_on_which_rules_and_dashboards_rest(
    overlay: Callable[[str], Objects], name: str
) -> None:
    rendered = overlay(name)
    for kind in ("ServiceMonitor", "PodMonitor"):
        for monitor in of_kind(rendered, kind):
            if monitor["metadata"]["name"] == "bookinfo":
                spec = monitor["spec"]
                assert {*spec.get("targetLabels", []), *spec["podTargetLabels"]} == {"app", "version"}
