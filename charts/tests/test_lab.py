"""The rendered workloads and Istio rules run in the lab, on real Envoys."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml
from charts.tests.rendering import CHART, GRAPH, SERVICES, Helm, of_kind, released, run_probe
from tests.lab.conftest import Bookinfo, get

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy

PRINT_STATUS = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
KINDS = (
    *("Deployment", "Service", "ServiceAccount", "Gateway", "VirtualService", "DestinationRule"),
    *("PeerAuthentication", "AuthorizationPolicy"),
)


@pytest.fixture(scope="module")
def lab(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookinfo]:
    """A lab with the rendered Istio overlay, which sends every request for reviews to v3."""
    try:
        envoy.find(os.environ)
    except LabError as error:
        pytest.skip(str(error))
    bookinfo = Bookinfo(tmp_path_factory.mktemp("state"), "default")
    weighted = {
        "virtualServices": {"enabled": True},
        "services": {"reviews": {"versions": {"v1": {"weight": 0}, "v3": {"weight": 100}}}},
    }
    rendered = of_kind(released(helm.render(weighted, CHART / "values-istio.yaml")), *KINDS)
    bookinfo("up", "--detach", "--gateway-port=0")
    try:
        bookinfo("apply", "-f", "-", stdin=yaml.safe_dump_all(rendered))
        yield bookinfo
    finally:
        bookinfo("down")


def test_page_is_complete_and_uses_the_version_with_the_weight(lab: Bookinfo) -> None:
    assert lab.versions(20) == {"v3": 20}
    page = get(f"{lab.url}/productpage").text
    assert "William Shakespeare" in page
    assert "PublisherA" in page
    assert "glyphicon glyphicon-star" in page


def test_real_proxies_allow_exactly_the_edges_of_the_graph(lab: Bookinfo) -> None:
    paths = {"productpage": "productpage", "details": "details/0", "reviews": "reviews/0", "ratings": "ratings/0"}
    statuses = {}
    for caller in SERVICES:
        workload = "reviews-v3" if caller == "reviews" else f"{caller}-v1"
        for service in SERVICES:
            url = f"http://{service}:9080/{paths[service]}"
            command = ("exec", workload, "--", sys.executable, "-c", PRINT_STATUS, url)
            statuses[caller, service] = lab(*command).strip()
    assert {edge for edge, status in statuses.items() if status == "200"} == GRAPH
    assert {status for edge, status in statuses.items() if edge not in GRAPH} == {"403"}


def test_gateway_allows_posts_only_to_login(lab: Bookinfo) -> None:
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_arguments: object) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect())

    def post(path: str, **form: str) -> int:
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open(f"{lab.url}{path}", data=urlencode(form).encode(), timeout=20)
        with caught.value:
            return int(caught.value.code)

    assert post("/login", username="jason", passwd="password") in (302, 303)
    assert post("/productpage") == 403


def test_probe_is_served_by_the_gateway_and_rejected_by_the_workloads(lab: Bookinfo) -> None:
    """The program of the test pods runs outside the mesh here."""
    addresses = [lab.workload(f"{service}-v1")["address"] for service in SERVICES]
    served = run_probe(5, "served", f"{lab.url}/productpage")
    assert served.returncode == 0, served.stdout
    rejected = run_probe(5, "rejected", *(f"http://{address}:9080/" for address in addresses))
    assert rejected.returncode == 0, rejected.stdout
    assert rejected.stdout.count("connection closed") == len(SERVICES)


def test_real_proxies_apply_the_gateway_api_overlay(helm: Helm, tmp_path: Path) -> None:
    """A Gateway, HTTPRoutes to the Services of the versions, and policies for the identity of the Gateway."""
    weighted = {
        "httpRoutes": {"enabled": True},
        "services": {"reviews": {"versions": {"v1": {"weight": 0}, "v3": {"weight": 100}}}},
    }
    rendered = of_kind(released(helm.render(weighted, CHART / "values-gateway-api.yaml")), *KINDS, "HTTPRoute")
    bookinfo = Bookinfo(tmp_path, "default")
    bookinfo("up", "--detach", "--gateway-port=0")
    try:
        bookinfo("apply", "-f", "-", stdin=yaml.safe_dump_all(rendered))
        (gateway,) = bookinfo.status()["gateways"]
        (url,) = gateway["urls"].values()
        pages = [get(f"{url}/productpage") for _ in range(10)]
        assert {(page.status, "reviews-v3-" in page.text, "William Shakespeare" in page.text) for page in pages} == {
            (200, True, True)
        }
        assert get(f"{bookinfo.url}/productpage").status == 403  # the policies allow only the other gateway
    finally:
        bookinfo("down")
