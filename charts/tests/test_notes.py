"""What a user reads after the installation: commands that work when they are pasted."""

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from charts.tests.rendering import CHART, Helm, identities

OUTSIDE = {("istio-system", "istio-ingressgateway"), ("shop", "bookinfo-gateway-istio")}
"""Services that the mesh makes, not the chart."""


def notes(helm: Helm, values: Path) -> str:
    """The notes of a release `books` in the namespace `shop`."""
    # A client-side dry run renders the notes too, without a cluster.
    told = helm.run("install", "books", str(CHART), "--namespace", "shop", "--dry-run=client", "--values", str(values))
    return told.partition("\nNOTES:\n")[2]


def commands(text: str) -> list[list[str]]:
    """The indented lines, as a shell splits them."""
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
def test_the_page_is_opened_where_it_is_served(helm: Helm, overlay: str, expected: tuple[str, str, str]) -> None:
    (forward,) = [words for words in commands(notes(helm, CHART / overlay)) if "port-forward" in words]
    namespace, service, ports = expected
    assert forward == ["kubectl", "--namespace", namespace, "port-forward", service, ports]
    name = service.removeprefix("service/")
    rendered = identities(helm.render(None, CHART / overlay))
    assert ("Service", name) in rendered or (namespace, name) in OUTSIDE


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
def test_a_gateway_with_tls_or_with_hosts_is_asked_by_its_name(
    helm: Helm, tmp_path: Path, values: dict[str, Any], port: str, url: str
) -> None:
    given = tmp_path / "values.json"
    given.write_text(json.dumps(values))
    text = notes(helm, given)
    (forward,) = [words for words in commands(text) if "port-forward" in words]
    assert forward[-1] == f"8080:{port}"
    if values.get("gatewayAPI", {}).get("className"):
        assert forward[1:5] == ["--namespace", "gateways", "port-forward", "service/edge"]
    host = urlsplit(url).hostname
    assert ["curl", "--resolve", f"{host}:8080:127.0.0.1", url] in commands(text)
    assert "localhost" not in text
    assert ("--cacert" in text) == url.startswith("https")


def test_no_page_is_named_where_there_is_none(helm: Helm, tmp_path: Path) -> None:
    given = tmp_path / "values.json"
    given.write_text(json.dumps({"services": {"productpage": None}, "tests": {"enabled": False}}))
    assert "productpage" not in notes(helm, given)


def test_the_tests_are_named_where_there_are_any(helm: Helm) -> None:
    test = ["helm", "test", "books", "--namespace", "shop"]
    assert test in commands(notes(helm, CHART / "ci/default-values.yaml"))
    assert test not in commands(notes(helm, CHART / "ci/off-values.yaml"))


def test_the_wait_selects_the_release_s_deployments(helm: Helm) -> None:
    (wait,) = [words for words in commands(notes(helm, CHART / "ci/default-values.yaml")) if "wait" in words]
    assert wait[wait.index("--selector") + 1] == "app.kubernetes.io/instance=books"


def test_the_mesh_is_analysed_where_there_is_one(helm: Helm) -> None:
    assert "istioctl analyze --namespace shop" in notes(helm, CHART / "values-istio.yaml")
    assert "istioctl" not in notes(helm, CHART / "ci/default-values.yaml")


def test_notes_have_no_blank_gaps_nor_template_remains(helm: Helm, values_file: Path) -> None:
    text = notes(helm, values_file)
    assert "Bookinfo" in text
    assert "\n\n\n" not in text
    assert "{{" not in text
