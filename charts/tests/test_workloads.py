"""Workloads: Deployments, Services, autoscaling, disruption budgets and their environment."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from charts.tests.rendering import (
    CHART,
    ROOT,
    SERVICES,
    Helm,
    HelmError,
    Object,
    Objects,
    Overlay,
    StrictLoader,
    container,
    copy_chart,
    environment,
    identities,
    named,
    of_kind,
    pods,
)

from bookinfo_chassis.server import FINISH_SECONDS
from bookinfo_chassis.settings import ServiceSettings
from bookinfo_chassis.tracing import FLUSH_SECONDS
from bookinfo_details.app import create_app as create_details
from bookinfo_details.settings import Settings as DetailsSettings
from bookinfo_lab.resources import images
from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.workloads import parse
from bookinfo_productpage.app import create_app as create_productpage
from bookinfo_productpage.settings import Settings as ProductpageSettings
from bookinfo_ratings.app import create_app as create_ratings
from bookinfo_ratings.settings import Settings as RatingsSettings
from bookinfo_reviews.app import create_app as create_reviews
from bookinfo_reviews.settings import Settings as ReviewsSettings

WORKLOADS = [item for item in yaml.safe_load_all((ROOT / "kubernetes/bookinfo.yaml").read_text()) if item]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "details": DetailsSettings,
    "productpage": ProductpageSettings,
    "ratings": RatingsSettings,
    "reviews": ReviewsSettings,
}
APPS: dict[str, Callable[[], Any]] = {
    "details": lambda: create_details(DetailsSettings()),
    "productpage": lambda: create_productpage(ProductpageSettings()),
    "ratings": lambda: create_ratings(RatingsSettings()),
    "reviews": lambda: create_reviews(ReviewsSettings()),
}


def without_helm(item: Object) -> Object:
    """Return an object without its namespace and without Helm's labels. Environment variables are sorted by name."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "namespace"}
    metadata["labels"] = {
        key: value
        for key, value in metadata["labels"].items()
        if not key.startswith(("app.kubernetes.io/", "helm.sh/"))
    }
    comparable = {**item, "metadata": metadata}
    if item["kind"] == "Deployment":
        first = comparable["spec"]["template"]["spec"]["containers"][0]
        first["env"] = sorted(first["env"], key=lambda variable: str(variable["name"]))
    return comparable


def by_identity(objects: Objects) -> dict[tuple[str, str], Object]:
    return {
        (item["kind"], item["metadata"]["name"]): without_helm(item)
        for item in of_kind(objects, "Deployment", "Service", "ServiceAccount")
        if "helm.sh/hook" not in item["metadata"].get("annotations", {})
    }


def test_default_values_render_the_workloads_of_the_repository(helm: Helm) -> None:
    assert by_identity(helm.render()) == by_identity(WORKLOADS)


def test_lab_accepts_the_workloads_of_default_values(helm: Helm) -> None:
    text = yaml.safe_dump_all(item for item in of_kind(helm.render(), "Deployment", "Service", "ServiceAccount"))
    workloads = parse(read_documents(text, "chart"), images.read(ROOT / "images.yaml"))
    assert len(workloads.deployments) == 6


def test_chart_version_and_app_version_equal_the_repository_version(helm: Helm) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = (ROOT / "VERSION").read_text().strip()
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_names_are_independent_of_release_and_namespace(helm: Helm) -> None:
    other = helm.render(release="shop-7", namespace="books")
    assert identities(other) == identities(helm.render())
    assert {item["metadata"]["namespace"] for item in other} == {"books"}
    assert {item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in other} == {"shop-7"}


def test_selectors_are_always_app_and_version(objects: Objects) -> None:
    """Kubernetes rejects an upgrade that changes the selector of a Deployment."""
    for deployment in of_kind(objects, "Deployment"):
        service, _, version = deployment["metadata"]["name"].partition("-")
        assert deployment["spec"]["selector"] == {"matchLabels": {"app": service, "version": version}}
        assert (
            deployment["spec"]["template"]["metadata"]["labels"].items() >= {"app": service, "version": version}.items()
        )


def test_new_chart_version_alone_restarts_no_pod(helm: Helm, tmp_path: Path) -> None:
    new_chart = copy_chart(tmp_path)
    (new_chart / "Chart.yaml").write_text((CHART / "Chart.yaml").read_text().replace("\nversion: ", "\nversion: 9"))
    previous, new = helm.render(), helm.render(chart=new_chart)
    assert dict(pods(of_kind(previous, "Deployment"))) == dict(pods(of_kind(new, "Deployment")))


def test_every_image_is_built_by_the_repository(objects: Objects, values_file: Path) -> None:
    built = set(json.loads((ROOT / "docker-bake.json").read_text())["target"])
    if values_file.stem == "versions-values":
        built.add("reviews-nightly")  # an image that only these values use
    used = {images.repository_name(each["image"]) for _, pod in pods(objects) for each in pod["spec"]["containers"]}
    assert used <= built
    assert len(used) >= 3


@pytest.mark.parametrize("service", SERVICES)
def test_every_probe_uses_a_path_of_the_api(helm: Helm, service: str) -> None:
    paths = APPS[service]().openapi()["paths"]
    probes = container(helm.render(), f"{service}-v1")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert "get" in paths[probes[name]["httpGet"]["path"]]


def test_liveness_and_readiness_paths_differ(helm: Helm) -> None:
    for service in SERVICES:
        probes = container(helm.render(), f"{service}-v1")
        assert probes["livenessProbe"]["httpGet"]["path"] != probes["readinessProbe"]["httpGet"]["path"]


def test_every_variable_is_a_setting_of_its_service(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        name = deployment["metadata"]["name"]
        fields = SETTINGS[name.partition("-")[0]].model_fields
        assert {variable.lower() for variable in environment(objects, name)} <= set(fields), name


@pytest.mark.parametrize("service", SERVICES)
def test_faults_of_a_version_are_valid_settings_of_its_service(helm: Helm, service: str) -> None:
    faults = {"abortPercent": 10, "abortStatus": 500, "delayPercent": 50, "delayMilliseconds": 200, "seed": 7}
    objects = helm.render({"services": {service: {"versions": {"v1": {"faults": faults}}}}})
    variables = {name: value for name, value in environment(objects, f"{service}-v1").items() if isinstance(value, str)}
    settings = SETTINGS[service].model_validate({name.lower(): value for name, value in variables.items()})
    assert (settings.fault_abort_percent, settings.fault_abort_status) == (10, 500)
    assert (settings.fault_delay_percent, settings.fault_delay_ms, settings.fault_seed) == (50, 200, 7)


def test_schema_limits_equal_the_limits_of_the_services() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    faults = schema["$defs"]["version"]["properties"]["faults"]["properties"]
    settings = ServiceSettings.model_json_schema()["properties"]
    pairs = [
        (faults["abortPercent"], settings["fault_abort_percent"]),
        (faults["abortStatus"], settings["fault_abort_status"]),
        (faults["delayPercent"], settings["fault_delay_percent"]),
        (faults["delayMilliseconds"], settings["fault_delay_ms"]),
        (schema["properties"]["shutdown"]["properties"]["drainSeconds"], settings["drain_seconds"]),
    ]
    for chart, service in pairs:
        assert (chart["minimum"], chart["maximum"]) == (service["minimum"], service["maximum"])


@pytest.mark.parametrize(
    ("service", "settings"), [("details", DetailsSettings), ("reviews", ReviewsSettings), ("ratings", RatingsSettings)]
)
def test_known_versions_equal_those_of_the_service(helm: Helm, service: str, settings: type[ServiceSettings]) -> None:
    known = get_args(settings.model_fields["version"].annotation)
    assert helm.render({"services": {service: {"versions": {version: {} for version in known}}}})
    with pytest.raises(HelmError, match=re.escape(f"one of {', '.join(known)}, or")):
        helm.render({"services": {service: {"versions": {"v99": {}}}}})


def test_null_resources_render_empty_resources(helm: Helm) -> None:
    assert container(helm.render({"services": {"details": {"resources": None}}}), "details-v1")["resources"] == {}


def test_versions_can_be_added_changed_and_removed(overlay: Overlay) -> None:
    objects = overlay("versions")
    assert {name for name, _ in pods(of_kind(objects, "Deployment"))} == {
        *("details-v1", "productpage-v1", "ratings-v1", "ratings-v-faulty", "reviews-v1", "reviews-v2"),
    }
    assert named(objects, "Deployment", "reviews-v2")["spec"]["replicas"] == 3
    assert named(objects, "Deployment", "reviews-v1")["spec"]["replicas"] == 1
    digest = "0123456789abcdef" * 4
    assert container(objects, "reviews-v2")["image"] == f"registry.example/bookinfo/reviews-nightly@sha256:{digest}"
    assert container(objects, "reviews-v1")["image"] == "registry.example/bookinfo/bookinfo-reviews:0.2.0"
    assert container(objects, "reviews-v2")["resources"]["requests"] == {"cpu": 1, "memory": "1Gi"}
    faulty = environment(objects, "ratings-v-faulty")
    assert faulty.items() >= {"VERSION": "v-faulty", "FAULTY_PERCENT": "20", "LOG_LEVEL": "debug"}.items()
    assert "FAULTY_PERCENT" not in environment(objects, "ratings-v1")
    assert environment(objects, "productpage-v1")["FLOOD_FACTOR"] == "2"


def test_environment_of_a_version_overrides_service_and_global_environment(helm: Helm) -> None:
    reviews = {"env": {"LOG_LEVEL": "warning"}, "versions": {"v3": {"env": {"LOG_LEVEL": "error"}}}}
    objects = helm.render({"env": {"LOG_LEVEL": "debug"}, "services": {"reviews": reviews}})
    levels = [environment(objects, name)["LOG_LEVEL"] for name in ("details-v1", "reviews-v1", "reviews-v3")]
    assert levels == ["debug", "warning", "error"]


@pytest.mark.parametrize("number", [1000000, 20261122, -1000000, 9007199254740991, 0.25, True])
def test_numbers_in_the_environment_keep_their_digits(helm: Helm, number: float) -> None:
    ratings = {"versions": {"v1": {"env": {"OF_VERSION": number}}}}
    objects = helm.render({"env": {"OF_ALL": number}, "services": {"ratings": ratings}})
    variables = environment(objects, "ratings-v1")
    assert (variables["OF_VERSION"], variables["OF_ALL"]) == (json.dumps(number), json.dumps(number))


@pytest.mark.parametrize("seed", [20261122, -9007199254740991])
def test_seed_keeps_its_digits(helm: Helm, tmp_path: Path, seed: int) -> None:
    faults = {"services": {"ratings": {"versions": {"v1": {"faults": {"seed": seed}}}}}}
    values_file = tmp_path / "values.yaml"
    values_file.write_text(yaml.safe_dump(faults))
    for objects in (helm.render(faults), helm.render(None, values_file)):
        assert environment(objects, "ratings-v1")["FAULT_SEED"] == str(seed)


def test_large_counts_are_rendered_as_integers(helm: Helm) -> None:
    many = 1000000
    objects = helm.render({"versionDefaults": {"replicas": many}, "podDisruptionBudget": {"maxUnavailable": many}})
    assert named(objects, "Deployment", "ratings-v1")["spec"]["replicas"] == many
    assert named(objects, "PodDisruptionBudget", "ratings-v1")["spec"]["maxUnavailable"] == many
    scaled = helm.render({"autoscaling": {"enabled": True, "minReplicas": many, "maxReplicas": many}})
    spec = named(scaled, "HorizontalPodAutoscaler", "ratings-v1")["spec"]
    assert [repr(spec[key]) for key in ("minReplicas", "maxReplicas")] == ["1000000", "1000000"]


@pytest.mark.parametrize(("routes", "kind"), [("virtualServices", "VirtualService"), ("httpRoutes", "HTTPRoute")])
def test_large_weight_is_rendered_as_an_integer(helm: Helm, routes: str, kind: str) -> None:
    reviews = {"versions": {"v1": {"weight": 1000000}}}
    mesh = {"mesh": {"mode": "sidecar"}, "destinationRules": {"enabled": True}}
    objects = helm.render({**mesh, routes: {"enabled": True}, "services": {"reviews": reviews}})
    assert '"weight": 1000000}' in json.dumps(named(objects, kind, "reviews"))


def test_grace_period_covers_drain_and_shutdown(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (only,) = pod["containers"]
        pre_stop_seconds = only.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain_seconds = float(environment(objects, deployment["metadata"]["name"])["DRAIN_SECONDS"])
        needed_seconds = pre_stop_seconds + drain_seconds + FINISH_SECONDS + FLUSH_SECONDS
        assert pod["terminationGracePeriodSeconds"] >= needed_seconds


def test_rollout_keeps_every_pod_until_its_replacement_is_ready(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_autoscaling_controls_replicas_by_the_services_own_container(helm: Helm) -> None:
    objects = helm.render({"autoscaling": {"enabled": True}})
    scaled = of_kind(objects, "HorizontalPodAutoscaler")
    assert {item["spec"]["scaleTargetRef"]["name"] for item in scaled} == {
        item["metadata"]["name"] for item in of_kind(objects, "Deployment")
    }
    assert [item for item in of_kind(objects, "Deployment") if "replicas" in item["spec"]] == []
    for item in scaled:
        (metric,) = item["spec"]["metrics"]
        service = item["metadata"]["name"].partition("-")[0]
        assert (item["spec"]["minReplicas"], item["spec"]["maxReplicas"]) == (1, 10)
        assert metric["containerResource"]["container"] == service
        assert metric["containerResource"]["target"] == {"type": "Utilization", "averageUtilization": 50}


def test_disruption_budget_of_each_workload_allows_one_eviction(helm: Helm) -> None:
    objects = helm.render()
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert [budget["spec"]["selector"] for budget in budgets] == [
        named(objects, "Deployment", budget["metadata"]["name"])["spec"]["selector"] for budget in budgets
    ]
    assert len(budgets) == 6
    assert {budget["spec"]["maxUnavailable"] for budget in budgets} == {1}
    # Without this setting, a pod that is not ready would block a drain of its node.
    assert {budget["spec"]["unhealthyPodEvictionPolicy"] for budget in budgets} == {"AlwaysAllow"}


def test_pods_of_each_workload_are_spread_over_zones_and_nodes(overlay: Overlay) -> None:
    objects = overlay("production")
    for deployment in of_kind(objects, "Deployment"):
        constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in constraints] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        assert {str(each["labelSelector"]) for each in constraints} == {str(deployment["spec"]["selector"])}
        assert {tuple(each["matchLabelKeys"]) for each in constraints} == {("pod-template-hash",)}


def test_version_service_selects_one_version(overlay: Overlay) -> None:
    objects = overlay("gateway-api")
    for deployment in of_kind(objects, "Deployment"):
        service = named(objects, "Service", deployment["metadata"]["name"])
        assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
        assert service["spec"]["ports"] == [{"port": 9080, "name": "http"}]


def test_ip_families_apply_to_every_service(overlay: Overlay) -> None:
    for service in of_kind(overlay("pods"), "Service"):
        assert (service["spec"]["ipFamilyPolicy"], service["spec"]["ipFamilies"]) == (
            "PreferDualStack",
            ["IPv4", "IPv6"],
        )


def test_pod_settings_apply_to_every_pod(overlay: Overlay) -> None:
    for deployment in of_kind(overlay("pods"), "Deployment"):
        pod = deployment["spec"]["template"]
        assert pod["metadata"]["labels"]["team"] == "books"
        assert pod["metadata"]["annotations"]["example.org/owner"] == "books"
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["spec"]["tolerations"][0]["value"] == "books"
        assert "nodeAffinity" in pod["spec"]["affinity"]
        assert pod["spec"]["priorityClassName"] == "books"


def test_productpage_can_be_removed_if_tests_are_disabled(helm: Helm) -> None:
    objects = helm.render({"services": {"productpage": None}, "tests": {"enabled": False}})
    services = {item["metadata"]["name"] for item in of_kind(objects, "Service")}
    assert services == {"details", "ratings", "reviews"}


def test_loader_rejects_duplicate_keys() -> None:
    with pytest.raises(yaml.YAMLError, match="duplicate key team"):
        yaml.load("labels: {team: books, team: shops}", Loader=StrictLoader)


@pytest.mark.parametrize("mode", ["none", "sidecar", "ambient"])
def test_configured_labels_and_annotations_override_the_charts(helm: Helm, mode: str) -> None:
    labels = {"sidecar.istio.io/inject": "false", "istio.io/dataplane-mode": "none"}
    annotations = {"prometheus.io/scrape": "false", "proxy.istio.io/config": "concurrency: 1"}
    mesh = {"mode": mode, "nativeSidecars": False}
    objects = helm.render({"mesh": mesh, "pod": {"labels": labels, "annotations": annotations}})
    for deployment in of_kind(objects, "Deployment"):
        metadata = deployment["spec"]["template"]["metadata"]
        assert metadata["labels"].items() >= labels.items()
        assert metadata["annotations"].items() >= annotations.items()
        assert metadata["annotations"]["prometheus.io/port"] == "9080"


@pytest.mark.parametrize(("monitor", "kind"), [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")])
def test_labels_of_a_monitor_override_the_charts_labels(helm: Helm, monitor: str, kind: str) -> None:
    labels = {"app.kubernetes.io/part-of": "shop", "release": "prometheus"}
    rendered = named(helm.render({monitor: {"enabled": True, "labels": labels}}), kind, "bookinfo")
    assert rendered["metadata"]["labels"].items() >= labels.items()


def test_services_export_traces_to_the_otlp_endpoint(helm: Helm) -> None:
    endpoint = "http://collector.observability:4318"
    objects = helm.render({"otlp": {"endpoint": endpoint}})
    assert environment(objects, "reviews-v2")["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(helm.render(), "reviews-v2")
