"""What runs: the one list of workloads, from default values and from any others."""

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
    Loader,
    Object,
    Objects,
    RefusedError,
    container,
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

PLAIN = yaml.safe_load_all((ROOT / "kubernetes/bookinfo.yaml").read_text())
WORKLOADS = [item for item in PLAIN if item]
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
    """An object without namespace and without Helm's own labels; lists by name in one order."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "namespace"}
    metadata["labels"] = {
        key: value
        for key, value in metadata["labels"].items()
        if not key.startswith(("app.kubernetes.io/", "helm.sh/"))
    }
    plain = {**item, "metadata": metadata}
    if item["kind"] == "Deployment":
        only = plain["spec"]["template"]["spec"]["containers"][0]
        only["env"] = sorted(only["env"], key=lambda variable: str(variable["name"]))
    return plain


def by_identity(objects: Objects) -> dict[tuple[str, str], Object]:
    return {
        (item["kind"], item["metadata"]["name"]): without_helm(item)
        for item in of_kind(objects, "Deployment", "Service", "ServiceAccount")
        if "helm.sh/hook" not in item["metadata"].get("annotations", {})
    }


def test_default_values_render_the_list_of_workloads(helm: Helm) -> None:
    assert by_identity(helm.render()) == by_identity(WORKLOADS)


def test_the_lab_can_run_what_default_values_render(helm: Helm) -> None:
    text = yaml.safe_dump_all(item for item in of_kind(helm.render(), "Deployment", "Service", "ServiceAccount"))
    workloads = parse(read_documents(text, "chart"), images.read(ROOT / "images.yaml"))
    assert len(workloads.deployments) == 6


def test_chart_and_application_have_the_repository_s_version(helm: Helm) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = (ROOT / "VERSION").read_text().strip()
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_names_do_not_depend_on_the_release_and_everything_is_in_its_namespace(helm: Helm) -> None:
    other = helm.render(release="shop-7", namespace="books")
    assert identities(other) == identities(helm.render())
    assert {item["metadata"]["namespace"] for item in other} == {"books"}
    assert {item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in other} == {"shop-7"}


def test_a_selector_is_app_and_version_whatever_the_values(objects: Objects) -> None:
    """A Deployment's selector can never change: an upgrade that changes it is refused by Kubernetes."""
    for deployment in of_kind(objects, "Deployment"):
        service, _, version = deployment["metadata"]["name"].partition("-")
        assert deployment["spec"]["selector"] == {"matchLabels": {"app": service, "version": version}}
        assert (
            deployment["spec"]["template"]["metadata"]["labels"].items() >= {"app": service, "version": version}.items()
        )


def test_a_new_chart_version_alone_restarts_no_pod(helm: Helm, tmp_path: Path) -> None:
    copied = tmp_path / "bookinfo"
    copied.mkdir()
    for path in CHART.iterdir():
        (copied / path.name).symlink_to(path)
    (copied / "Chart.yaml").unlink()
    (copied / "Chart.yaml").write_text((CHART / "Chart.yaml").read_text().replace("\nversion: ", "\nversion: 9"))
    before, after = helm.render(), helm.render(chart=copied)
    assert dict(pods(of_kind(before, "Deployment"))) == dict(pods(of_kind(after, "Deployment")))


def test_every_image_is_one_that_this_project_builds(objects: Objects, values_file: Path) -> None:
    built = set(json.loads((ROOT / "docker-bake.json").read_text())["target"])
    if values_file.stem == "versions-values":
        built.add("reviews-nightly")  # which that case names
    used = {images.repository_name(each["image"]) for _, pod in pods(objects) for each in pod["spec"]["containers"]}
    assert used <= built
    assert len(used) >= 3


@pytest.mark.parametrize("service", SERVICES)
def test_every_probe_asks_a_path_of_the_service_s_api(helm: Helm, service: str) -> None:
    paths = APPS[service]().openapi()["paths"]
    probed = container(helm.render(), f"{service}-v1")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert "get" in paths[probed[probe]["httpGet"]["path"]]


def test_liveness_is_not_readiness(helm: Helm) -> None:
    for service in SERVICES:
        probed = container(helm.render(), f"{service}-v1")
        assert probed["livenessProbe"]["httpGet"]["path"] != probed["readinessProbe"]["httpGet"]["path"]


def test_every_variable_is_one_that_its_service_reads(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        name = deployment["metadata"]["name"]
        fields = SETTINGS[name.partition("-")[0]].model_fields
        assert {variable.lower() for variable in environment(objects, name)} <= set(fields), name


@pytest.mark.parametrize("service", SERVICES)
def test_a_version_s_variables_are_accepted_by_its_service(helm: Helm, service: str) -> None:
    faults = {"abortPercent": 10, "abortStatus": 500, "delayPercent": 50, "delayMilliseconds": 200, "seed": 7}
    objects = helm.render({"services": {service: {"versions": {"v1": {"faults": faults}}}}})
    given = {name: value for name, value in environment(objects, f"{service}-v1").items() if isinstance(value, str)}
    settings = SETTINGS[service].model_validate({name.lower(): value for name, value in given.items()})
    assert (settings.fault_abort_percent, settings.fault_abort_status) == (10, 500)
    assert (settings.fault_delay_percent, settings.fault_delay_ms, settings.fault_seed) == (50, 200, 7)


def test_the_schema_s_limits_are_the_services_own() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    faults = schema["$defs"]["version"]["properties"]["faults"]["properties"]
    own = ServiceSettings.model_json_schema()["properties"]
    pairs = [
        (faults["abortPercent"], own["fault_abort_percent"]),
        (faults["abortStatus"], own["fault_abort_status"]),
        (faults["delayPercent"], own["fault_delay_percent"]),
        (faults["delayMilliseconds"], own["fault_delay_ms"]),
        (schema["properties"]["shutdown"]["properties"]["drainSeconds"], own["drain_seconds"]),
    ]
    for ours, theirs in pairs:
        assert (ours["minimum"], ours["maximum"]) == (theirs["minimum"], theirs["maximum"])


@pytest.mark.parametrize(
    ("service", "settings"), [("details", DetailsSettings), ("reviews", ReviewsSettings), ("ratings", RatingsSettings)]
)
def test_the_versions_that_are_let_in_are_those_that_the_service_knows(
    helm: Helm, service: str, settings: type[ServiceSettings]
) -> None:
    known = get_args(settings.model_fields["version"].annotation)
    assert helm.render({"services": {service: {"versions": {version: {} for version in known}}}})
    with pytest.raises(RefusedError, match=re.escape(f"only {', '.join(known)}:")):
        helm.render({"services": {service: {"versions": {"v99": {}}}}})


def test_resources_taken_away_are_none(helm: Helm) -> None:
    assert container(helm.render({"services": {"details": {"resources": None}}}), "details-v1")["resources"] == {}


def test_a_version_is_one_entry(overlay: Callable[[str], Objects]) -> None:
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


def test_a_version_s_environment_wins_over_its_service_s_and_that_over_everybody_s(helm: Helm) -> None:
    reviews = {"env": {"LOG_LEVEL": "warning"}, "versions": {"v3": {"env": {"LOG_LEVEL": "error"}}}}
    objects = helm.render({"env": {"LOG_LEVEL": "debug"}, "services": {"reviews": reviews}})
    levels = [environment(objects, name)["LOG_LEVEL"] for name in ("details-v1", "reviews-v1", "reviews-v3")]
    assert levels == ["debug", "warning", "error"]


@pytest.mark.parametrize("number", [1000000, 20261122, -1000000, 9007199254740991, 0.25, True])
def test_a_number_reaches_a_service_with_the_digits_that_were_given(helm: Helm, number: float) -> None:
    ratings = {"versions": {"v1": {"env": {"OWN": number}}}}
    objects = helm.render({"env": {"EVERYBODY_S": number}, "services": {"ratings": ratings}})
    given = environment(objects, "ratings-v1")
    assert (given["OWN"], given["EVERYBODY_S"]) == (json.dumps(number), json.dumps(number))


@pytest.mark.parametrize("seed", [20261122, -9007199254740991])
def test_a_seed_has_the_digits_that_were_given(helm: Helm, tmp_path: Path, seed: int) -> None:
    faults = {"services": {"ratings": {"versions": {"v1": {"faults": {"seed": seed}}}}}}
    given = tmp_path / "values.yaml"
    given.write_text(yaml.safe_dump(faults))
    for objects in (helm.render(faults), helm.render(None, given)):
        assert environment(objects, "ratings-v1")["FAULT_SEED"] == str(seed)


def test_large_counts_are_whole_numbers(helm: Helm) -> None:
    many = 1000000
    objects = helm.render({"versionDefaults": {"replicas": many}, "podDisruptionBudget": {"maxUnavailable": many}})
    assert named(objects, "Deployment", "ratings-v1")["spec"]["replicas"] == many
    assert named(objects, "PodDisruptionBudget", "ratings-v1")["spec"]["maxUnavailable"] == many
    scaled = helm.render({"autoscaling": {"enabled": True, "minReplicas": many, "maxReplicas": many}})
    spec = named(scaled, "HorizontalPodAutoscaler", "ratings-v1")["spec"]
    assert [repr(spec[key]) for key in ("minReplicas", "maxReplicas")] == ["1000000", "1000000"]


@pytest.mark.parametrize(("routes", "kind"), [("virtualServices", "VirtualService"), ("httpRoutes", "HTTPRoute")])
def test_a_weight_of_a_million_is_a_whole_number(helm: Helm, routes: str, kind: str) -> None:
    reviews = {"versions": {"v1": {"weight": 1000000}}}
    mesh = {"mesh": {"mode": "sidecar"}, "destinationRules": {"enabled": True}}
    objects = helm.render({**mesh, routes: {"enabled": True}, "services": {"reviews": reviews}})
    assert '"weight": 1000000}' in json.dumps(named(objects, kind, "reviews"))


def test_a_pod_has_time_to_drain_and_to_finish(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (only,) = pod["containers"]
        waits = only.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drains = float(environment(objects, deployment["metadata"]["name"])["DRAIN_SECONDS"])
        assert pod["terminationGracePeriodSeconds"] >= waits + drains + FINISH_SECONDS + FLUSH_SECONDS


def test_a_rollout_takes_no_pod_away_before_its_successor_is_ready(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_autoscaling_owns_the_replicas_and_heeds_the_service_s_own_container(helm: Helm) -> None:
    objects = helm.render({"autoscaling": {"enabled": True}})
    scaled = of_kind(objects, "HorizontalPodAutoscaler")
    assert {item["spec"]["scaleTargetRef"]["name"] for item in scaled} == {
        item["metadata"]["name"] for item in of_kind(objects, "Deployment")
    }
    assert [item for item in of_kind(objects, "Deployment") if "replicas" in item["spec"]] == []
    for item in scaled:
        (metric,) = item["spec"]["metrics"]
        own = item["metadata"]["name"].partition("-")[0]
        assert (item["spec"]["minReplicas"], item["spec"]["maxReplicas"]) == (1, 10)
        assert metric["containerResource"]["container"] == own
        assert metric["containerResource"]["target"] == {"type": "Utilization", "averageUtilization": 50}


def test_a_disruption_budget_covers_each_workload_and_lets_one_replica_be_drained(helm: Helm) -> None:
    objects = helm.render()
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert [budget["spec"]["selector"] for budget in budgets] == [
        named(objects, "Deployment", budget["metadata"]["name"])["spec"]["selector"] for budget in budgets
    ]
    assert len(budgets) == 6
    assert {budget["spec"]["maxUnavailable"] for budget in budgets} == {1}
    # A pod that is not ready serves nobody: without this it would keep its node from being drained.
    assert {budget["spec"]["unhealthyPodEvictionPolicy"] for budget in budgets} == {"AlwaysAllow"}


def test_each_workload_is_spread_over_zones_and_nodes(overlay: Callable[[str], Objects]) -> None:
    objects = overlay("production")
    for deployment in of_kind(objects, "Deployment"):
        constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in constraints] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        assert {str(each["labelSelector"]) for each in constraints} == {str(deployment["spec"]["selector"])}
        assert {tuple(each["matchLabelKeys"]) for each in constraints} == {("pod-template-hash",)}


def test_a_version_service_leads_to_one_version(overlay: Callable[[str], Objects]) -> None:
    objects = overlay("gateway-api")
    for deployment in of_kind(objects, "Deployment"):
        service = named(objects, "Service", deployment["metadata"]["name"])
        assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
        assert service["spec"]["ports"] == [{"port": 9080, "name": "http"}]


def test_every_service_takes_the_address_families(overlay: Callable[[str], Objects]) -> None:
    for service in of_kind(overlay("pods"), "Service"):
        assert (service["spec"]["ipFamilyPolicy"], service["spec"]["ipFamilies"]) == (
            "PreferDualStack",
            ["IPv4", "IPv6"],
        )


def test_what_is_added_to_pods_is_on_every_pod(overlay: Callable[[str], Objects]) -> None:
    for deployment in of_kind(overlay("pods"), "Deployment"):
        pod = deployment["spec"]["template"]
        assert pod["metadata"]["labels"]["team"] == "books"
        assert pod["metadata"]["annotations"]["example.org/owner"] == "books"
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["spec"]["tolerations"][0]["value"] == "books"
        assert "nodeAffinity" in pod["spec"]["affinity"]
        assert pod["spec"]["priorityClassName"] == "books"


def test_productpage_can_be_taken_away_with_the_tests(helm: Helm) -> None:
    objects = helm.render({"services": {"productpage": None}, "tests": {"enabled": False}})
    services = {item["metadata"]["name"] for item in of_kind(objects, "Service")}
    assert services == {"details", "ratings", "reviews"}


def test_the_loader_of_these_tests_refuses_a_key_twice() -> None:
    with pytest.raises(yaml.YAMLError, match="team is there twice"):
        yaml.load("labels: {team: books, team: shops}", Loader=Loader)


@pytest.mark.parametrize("mode", ["none", "sidecar", "ambient"])
def test_the_user_s_labels_and_annotations_win_over_the_chart_s(helm: Helm, mode: str) -> None:
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
def test_a_monitor_s_labels_win_over_the_chart_s(helm: Helm, monitor: str, kind: str) -> None:
    own = {"app.kubernetes.io/part-of": "shop", "release": "prometheus"}
    found = named(helm.render({monitor: {"enabled": True, "labels": own}}), kind, "bookinfo")
    assert found["metadata"]["labels"].items() >= own.items()


def test_the_services_send_traces_where_otlp_says(helm: Helm) -> None:
    endpoint = "http://collector.observability:4318"
    objects = helm.render({"otlp": {"endpoint": endpoint}})
    assert environment(objects, "reviews-v2")["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(helm.render(), "reviews-v2")
