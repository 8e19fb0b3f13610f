"""istio/rate-limit/global: the gateway and the service use the same descriptors, and Envoy accepts the filter."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bookinfo_lab.runtime import envoy

from .conftest import ROOT, read

DIRECTORY = "istio/rate-limit/global"
(FILTER,) = read(f"{DIRECTORY}/gateway.yaml")
SERVICE = read(f"{DIRECTORY}/service.yaml")
HTTP_FILTER, VIRTUAL_HOST = (patch["patch"]["value"] for patch in FILTER["spec"]["configPatches"])


def limits() -> dict[str, Any]:
    (text,) = (item["data"]["config.yaml"] for item in SERVICE if item["kind"] == "ConfigMap")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def expected(paths: list[str]) -> list[int]:
    """Return the status of each request within one minute, from the gateway's patches and the service's limits."""
    matches = [limit["actions"][0]["header_value_match"] for limit in VIRTUAL_HOST["rate_limits"]]
    allowed = {
        (item["key"], item.get("value")): item["rate_limit"]["requests_per_unit"] for item in limits()["descriptors"]
    }
    counts: dict[str, int] = {}
    statuses = []
    for path in paths:
        values = [
            item["descriptor_value"]
            for item in matches
            for header in item["headers"]
            if any(path_matches(kind, text, path) for kind, text in header["string_match"].items())
        ]
        status = 200
        for value in values:
            counts[value] = counts.get(value, 0) + 1
            if counts[value] > allowed.get(("PATH", value), allowed["PATH", None]):
                status = 429
        statuses.append(status)
    return statuses


def path_matches(kind: str, text: Any, path: str) -> bool:
    if kind == "prefix":
        return path.startswith(str(text))
    if kind == "exact":
        return path == text
    assert kind == "safe_regex", kind
    return re.fullmatch(text["regex"], path) is not None


def test_the_page_says_what_the_configuration_statuses() -> None:
    page = (ROOT / "istio/rate-limit/README.md").read_text()
    (paths,) = re.findall(r"for path in (.+); do", page)
    (statuses,) = re.findall(r"# ((?:\d{3} ?)+)$", page, re.MULTILINE)
    assert {200, 429} == set(map(int, statuses.split()))
    assert expected([f"/{path}" for path in paths.split()]) == list(map(int, statuses.split()))
    assert all(item["rate_limit"]["unit"] == "minute" for item in limits()["descriptors"])
    words = {1: "one page", 2: "two API calls", 100: "100 requests in total"}
    for item in limits()["descriptors"]:
        assert words[item["rate_limit"]["requests_per_unit"]] in page


def test_gateway_uses_the_domain_of_the_limits() -> None:
    assert HTTP_FILTER["typed_config"]["domain"] == limits()["domain"]


def test_gateway_calls_the_rate_limit_service() -> None:
    (service,) = (item for item in SERVICE if (item["kind"], item["metadata"]["name"]) == ("Service", "ratelimit"))
    (port,) = service["spec"]["ports"]
    grpc = HTTP_FILTER["typed_config"]["rate_limit_service"]["grpc_service"]["envoy_grpc"]
    assert grpc["cluster_name"] == f"outbound|{port['port']}||ratelimit.default.svc.cluster.local"
    assert port["name"] == "grpc"  # otherwise Istio does not use HTTP/2


def test_every_limit_has_a_descriptor_in_the_gateway() -> None:
    matches = [limit["actions"][0]["header_value_match"] for limit in VIRTUAL_HOST["rate_limits"]]
    values = {(item["key"], item["value"]) for item in limits()["descriptors"] if "value" in item}
    assert {(item["descriptor_key"], item["descriptor_value"]) for item in matches} >= values
    assert {item["descriptor_key"] for item in matches} == {item["key"] for item in limits()["descriptors"]}


@pytest.fixture
def bootstrap(tmp_path: Path) -> Path:
    """Write the part of Istio's configuration that contains the two patches."""
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


def test_envoy_accepts_the_patches(bootstrap: Path) -> None:
    command = [str(envoy.find({})), "--mode", "validate", "--config-path", str(bootstrap)]
    validated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (validated.returncode, "OK" in validated.stdout) == (0, True), validated.stderr


def test_envoy_rejects_an_invalid_patch(bootstrap: Path) -> None:
    bootstrap.write_text(bootstrap.read_text().replace("header_value_match", "header_value_mismatch"))
    command = [str(envoy.find({})), "--mode", "validate", "--config-path", str(bootstrap)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
