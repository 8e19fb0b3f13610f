"""The content of docker-compose.yaml, without an engine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
APPLICATIONS = {name: service for name, service in SERVICES.items() if "VERSION" in (service.get("environment") or {})}
CONTRACT = {"productpage", "details", "ratings", "reviews-v1", "reviews-v2", "reviews-v3"}

every_service = pytest.mark.parametrize("name", SERVICES)


@every_service
def test_container_is_restricted(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@every_service
def test_container_has_memory_limit_restart_policy_and_log_limit(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "2"}


@every_service
def test_container_is_on_the_only_network(name: str) -> None:
    assert list(SERVICES[name]["networks"]) == ["bookinfo"]
    assert list(COMPOSE["networks"]) == ["bookinfo"]


@every_service
def test_published_ports_are_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+\}:\d+", port)


def test_only_the_gateway_is_published_without_a_profile() -> None:
    published = {name for name, service in SERVICES.items() if service.get("ports") and not service.get("profiles")}
    assert published == {"gateway"}


@every_service
def test_image_has_a_configured_tag(name: str) -> None:
    assert re.fullmatch(r"\$\{REGISTRY\}bookinfo-[a-z]+:\$\{TAG\}|\$\{[A-Z]+_IMAGE\}", SERVICES[name]["image"])


def test_applications_are_those_of_the_contract() -> None:
    assert set(APPLICATIONS) == CONTRACT


def test_applications_have_the_memory_limits_of_the_cluster() -> None:
    documents = list(yaml.safe_load_all((ROOT / "kubernetes/bookinfo.yaml").read_text()))
    deployments = [document for document in documents if document["kind"] == "Deployment"]
    limits = {
        container["resources"]["limits"]["memory"]
        for deployment in deployments
        for container in deployment["spec"]["template"]["spec"]["containers"]
    }
    assert {service["mem_limit"].upper() + "i" for service in APPLICATIONS.values()} == limits


def test_applications_and_gateway_have_health_checks() -> None:
    for name in (*CONTRACT, "gateway"):
        assert SERVICES[name]["healthcheck"]["test"][:2] == ["CMD", "curl"]


def test_gateway_stops_after_the_applications() -> None:
    # Compose stops containers in the reverse order of `depends_on`.
    assert {name for name, service in APPLICATIONS.items() if "gateway" in service["depends_on"]} == CONTRACT
    assert SERVICES["gateway"]["depends_on"] == {"jaeger": {"condition": "service_started", "required": False}}


def test_load_starts_after_gateway_and_productpage_are_healthy() -> None:
    healthy = {"condition": "service_healthy"}
    assert SERVICES["load"]["depends_on"] == {"gateway": healthy, "productpage": healthy}


@every_service
def test_every_dependency_has_a_condition(name: str) -> None:
    assert all(dependency["condition"] for dependency in dict(SERVICES[name].get("depends_on", {})).values())


def test_each_image_is_built_by_one_service_and_never_pulled() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(built) == len(set(built))
    others = [service for service in SERVICES.values() if "build" not in service and "REGISTRY" in service["image"]]
    assert len(others) == 2
    assert all(service["image"] in built and service["pull_policy"] == "never" for service in others)


def test_compose_builds_with_the_arguments_of_the_bake_file() -> None:
    common = set(json.loads((ROOT / "docker-bake.json").read_text())["target"]["_common"]["args"])
    for service in SERVICES.values():
        if "build" in service:
            assert {name for name, value in service["build"]["args"].items() if value is None} == common


def test_gateway_has_the_alias_reviews() -> None:
    assert SERVICES["gateway"]["networks"]["bookinfo"]["aliases"] == ["reviews"]


def test_prometheus_scrapes_every_application_and_the_gateway() -> None:
    config = yaml.safe_load((ROOT / "observability/prometheus/prometheus.yaml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs["bookinfo"]["dns_sd_configs"][0]["names"]) == CONTRACT
    assert jobs["gateway"]["static_configs"][0]["targets"] == ["gateway:15090"]


def test_prometheus_has_the_rules_of_the_repository() -> None:
    config = yaml.safe_load((ROOT / "observability/prometheus/prometheus.yaml").read_text())
    assert config["rule_files"] == ["rules/*.yaml"]
    assert "./observability/rules:/etc/prometheus/rules:ro" in SERVICES["prometheus"]["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yaml" in SERVICES["prometheus"]["command"]


def test_trace_link_uses_the_published_port_of_jaeger() -> None:
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE))
    assert SERVICES["productpage"]["environment"]["TRACE_URL_TEMPLATE"] == "${TRACE_URL_TEMPLATE}"
    assert settings["TRACE_URL_TEMPLATE"] == "http://localhost:${JAEGER_PORT}/trace/{trace_id}"
    assert SERVICES["jaeger"]["ports"] == ["127.0.0.1:${JAEGER_PORT}:16686"]


def test_grafana_has_data_sources_and_dashboards() -> None:
    provisioning = ROOT / "observability/grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/bookinfo.yaml").read_text())["datasources"]
    hosts = {re.match(r"http://([a-z]+):", source["url"])[1] for source in sources}  # type: ignore[index]
    assert hosts == {"prometheus", "jaeger"}
    assert hosts <= SERVICES.keys()
    (provider,) = yaml.safe_load((provisioning / "dashboards/bookinfo.yaml").read_text())["providers"]
    assert f"./observability/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_grafana_opens_the_services_dashboard_and_calls_no_external_service() -> None:
    environment = SERVICES["grafana"]["environment"]
    home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "observability/dashboards" / home.removeprefix("/etc/grafana/dashboards/")).exists()
    calls_to_external_services = (
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "GF_NEWS_NEWS_FEED_ENABLED",
    )
    assert {environment[name] for name in calls_to_external_services} == {"false"}
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_every_mounted_file_exists() -> None:
    sources = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [path for path in sources if path.startswith("./")]
    assert files
    assert [path for path in files if not (ROOT / path).exists()] == []
