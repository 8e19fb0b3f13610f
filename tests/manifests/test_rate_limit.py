"""istio/rate-limit/global: the gateway asks for what the service counts, in a configuration that Envoy takes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bookinfo_lab.runtime import envoy

from .conftest import ROOT, read

FOLDER = "istio/rate-limit/global"
(FILTER,) = read(f"{FOLDER}/gateway.yaml")
SERVICE = read(f"{FOLDER}/service.yaml")
HTTP_FILTER, VIRTUAL_HOST = (patch["patch"]["value"] for patch in FILTER["spec"]["configPatches"])


def limits() -> dict[str, Any]:
    (text,) = (item["data"]["config.yaml"] for item in SERVICE if item["kind"] == "ConfigMap")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def expected(paths: list[str]) -> list[int]:
    """What each call is answered within one minute, by the patches of the gateway and the service's configuration."""
    asked = [limit["actions"][0]["header_value_match"] for limit in VIRTUAL_HOST["rate_limits"]]
    allowed = {
        (item["key"], item.get("value")): item["rate_limit"]["requests_per_unit"] for item in limits()["descriptors"]
    }
    counts: dict[str, int] = {}
    answers = []
    for path in paths:
        named = [
            item["descriptor_value"]
            for item in asked
            for header in item["headers"]
            if any(is_met(kind, text, path) for kind, text in header["string_match"].items())
        ]
        status = 200
        for value in named:
            counts[value] = counts.get(value, 0) + 1
            if counts[value] > allowed.get(("PATH", value), allowed["PATH", None]):
                status = 429
        answers.append(status)
    return answers


def is_met(kind: str, text: Any, path: str) -> bool:
    if kind == "prefix":
        return path.startswith(str(text))
    if kind == "exact":
        return path == text
    assert kind == "safe_regex", kind
    return re.fullmatch(text["regex"], path) is not None


def test_the_page_says_what_the_configuration_answers() -> None:
    page = (ROOT / "istio/rate-limit/README.md").read_text()
    (paths,) = re.findall(r"for path in (.+); do", page)
    (statuses,) = re.findall(r"# ((?:\d{3} ?)+)$", page, re.MULTILINE)
    assert {200, 429} == set(map(int, statuses.split()))
    assert expected([f"/{path}" for path in paths.split()]) == list(map(int, statuses.split()))
    assert all(item["rate_limit"]["unit"] == "minute" for item in limits()["descriptors"])
    words = {1: "One page", 2: "two\ncalls of the API", 100: "a hundred requests in all"}
    for item in limits()["descriptors"]:
        assert words[item["rate_limit"]["requests_per_unit"]] in page


def test_the_gateway_asks_in_the_domain_of_the_limits() -> None:
    assert HTTP_FILTER["typed_config"]["domain"] == limits()["domain"]


def test_the_gateway_asks_at_the_service() -> None:
    (service,) = (item for item in SERVICE if (item["kind"], item["metadata"]["name"]) == ("Service", "ratelimit"))
    (port,) = service["spec"]["ports"]
    grpc = HTTP_FILTER["typed_config"]["rate_limit_service"]["grpc_service"]["envoy_grpc"]
    assert grpc["cluster_name"] == f"outbound|{port['port']}||ratelimit.default.svc.cluster.local"
    assert port["name"] == "grpc"  # else Istio would not speak HTTP/2 to it


def test_every_limit_is_asked_for_by_its_own_words() -> None:
    asked = [limit["actions"][0]["header_value_match"] for limit in VIRTUAL_HOST["rate_limits"]]
    named = {(item["key"], item["value"]) for item in limits()["descriptors"] if "value" in item}
    assert {(item["descriptor_key"], item["descriptor_value"]) for item in asked} >= named
    assert {item["descriptor_key"] for item in asked} == {item["key"] for item in limits()["descriptors"]}


@pytest.fixture
def bootstrap(tmp_path: Path) -> Path:
    """What Istio makes of the two patches, as far as Envoy has to judge it."""
    name = HTTP_FILTER["typed_config"]["rate_limit_service"]["grpc_service"]["envoy_grpc"]["cluster_name"]
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    network = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    manager = {
        "@type": f"type.googleapis.com/{network}",
        "stat_prefix": "edge",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                    **VIRTUAL_HOST,
                }
            ]
        },
        "http_filters": [HTTP_FILTER, {"name": "envoy.filters.http.router", "typed_config": router}],
    }
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    listener = {
        "name": "edge",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    clusters = [{"name": name, "type": "STATIC", "typed_extension_protocol_options": http2}]
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}))
    return path


def test_envoy_takes_the_patches(bootstrap: Path) -> None:
    command = [str(envoy.find({})), "--mode", "validate", "--config-path", str(bootstrap)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, "OK" in told.stdout) == (0, True), told.stderr


def test_envoy_would_refuse_a_mistake_in_them(bootstrap: Path) -> None:
    bootstrap.write_text(bootstrap.read_text().replace("header_value_match", "header_value_mismatch"))
    command = [str(envoy.find({})), "--mode", "validate", "--config-path", str(bootstrap)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
