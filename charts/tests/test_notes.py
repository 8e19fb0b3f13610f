"""NOTES.txt, which Helm prints after an installation: its commands work when they are pasted."""

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from charts.tests.rendering import CHART, Helm, identities

EXTERNAL_SERVICES = {("istio-system", "istio-ingressgateway"), ("shop", "bookinfo-gateway-istio")}
"""Namespace and name of the Services that the mesh creates."""


def notes(helm: Helm, values: Path) -> str:
    """Return the notes of a release `books` in the namespace `shop`."""
    # A client-side dry run renders the notes too, and needs no cluster.
    arguments = ("--namespace", "shop", "--dry-run=client", "--values", str(values))
    return helm.run("install", "books", str(CHART), *arguments).partition("\nNOTES:\n")[2]


def commands(text: str) -> list[list[str]]:
    """Return the commands, which are the indented lines, each split into words like a shell does."""
    return [shlex.split(line) for line in re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)]


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("ci/default-values.yaml", ("shop", "service/productpage", "8080:9080")),
        ("values-istio.yaml", ("istio-system", "service/istio-ingressgateway", "8080:80")),
        ("values-gateway-api.yaml", ("shop", "service/bookinfo-gateway-istio", "8080:80")),
        ("values-ambient.yaml", ("shop", "service/bookinfo-gateway-istio", "8080:80")),
    ],
)
def test_notes_forward_a_port_of_the_service_that_serves_the_page(
    helm: Helm, overlay: str, expected: tuple[str, str, str]
) -> None:
    (forward,) = [words for words in commands(notes(helm, CHART / overlay)) if "port-forward" in words]
    namespace, service, ports = expected
    assert forward == ["kubectl", "--namespace", namespace, "port-forward", service, ports]
    name = service.removeprefix("service/")
    rendered = identities(helm.render(None, CHART / overlay))
    assert ("Service", name) in rendered or (namespace, name) in EXTERNAL_SERVICES


SECRET = {"tlsSecret": "shop-tls"}


@pytest.mark.parametrize(
    ("values", "port", "url"),
    [
        ({"istioGateway": {"enabled": True, **SECRET}}, "443", "https://bookinfo:8080/productpage"),
        ({"istioGateway": {"enabled": True, "hosts": ["a.example"]}}, "80", "http://a.example:8080/productpage"),
        (
            {"istioGateway": {"enabled": True, "hosts": ["*.a.example"], **SECRET}},
            "443",
            "https://bookinfo.a.example:8080/productpage",
        ),
        (
            {"gatewayAPI": {"enabled": True, "hosts": ["a.example"], "port": 443, **SECRET}},
            "443",
            "https://a.example:8080/productpage",
        ),
        (
            {"gatewayAPI": {"enabled": True, "className": "other", "service": "edge.gateways", "hosts": ["a.example"]}},
            "80",
            "http://a.example:8080/productpage",
        ),
        ({"gatewayAPI": {"enabled": True, "hosts": ["productpage"]}}, "80", "http://productpage:8080/productpage"),
    ],
)
def test_notes_use_the_host_name_of_a_gateway_with_tls_or_hosts(
    helm: Helm, tmp_path: Path, values: dict[str, Any], port: str, url: str
) -> None:
    values_file = tmp_path / "values.json"
    values_file.write_text(json.dumps(values))
    text = notes(helm, values_file)
    (forward,) = [words for words in commands(text) if "port-forward" in words]
    assert forward[-1] == f"8080:{port}"
    if values.get("gatewayAPI", {}).get("className"):
        assert forward[1:5] == ["--namespace", "gateways", "port-forward", "service/edge"]
    host = urlsplit(url).hostname
    assert ["curl", "--resolve", f"{host}:8080:127.0.0.1", url] in commands(text)
    assert "localhost" not in text
    assert ("--cacert" in text) == url.startswith("https")


def test_notes_omit_the_page_without_productpage(helm: Helm, tmp_path: Path) -> None:
    values_file = tmp_path / "values.json"
    values_file.write_text(json.dumps({"services": {"productpage": None}, "tests": {"enabled": False}}))
    assert "productpage" not in notes(helm, values_file)


def test_notes_mention_helm_test_only_if_tests_are_enabled(helm: Helm) -> None:
    test = ["helm", "test", "books", "--namespace", "shop"]
    assert test in commands(notes(helm, CHART / "ci/default-values.yaml"))
    assert test not in commands(notes(helm, CHART / "ci/off-values.yaml"))


def test_notes_wait_for_the_deployments_of_the_release(helm: Helm) -> None:
    (wait,) = [words for words in commands(notes(helm, CHART / "ci/default-values.yaml")) if "wait" in words]
    assert wait[wait.index("--selector") + 1] == "app.kubernetes.io/instance=books"


def test_notes_mention_istioctl_only_with_a_mesh(helm: Helm) -> None:
    assert "istioctl analyze --namespace shop" in notes(helm, CHART / "values-istio.yaml")
    assert "istioctl" not in notes(helm, CHART / "ci/default-values.yaml")


def test_notes_contain_no_double_blank_lines_and_no_template_syntax(helm: Helm, values_file: Path) -> None:
    text = notes(helm, values_file)
    assert "Bookinfo" in text
    assert "\n\n\n" not in text
    assert "{{" not in text
