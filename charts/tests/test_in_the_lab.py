"""What the chart renders for Istio, on real Envoys: the lab runs its workloads and obeys its rules."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml
from charts.tests.rendering import CHART, SERVICES, Helm, of_kind, released
from tests.lab.conftest import Bookinfo, get

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy

GRAPH = {("productpage", "details"), ("productpage", "reviews"), ("reviews", "ratings")}
ASK = """
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
    """A lab in which the chart's Istio overlay was applied, with every request of reviews going to v3."""
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


def test_the_page_is_served_whole_by_the_version_that_has_the_weight(lab: Bookinfo) -> None:
    assert lab.versions(20) == {"v3": 20}
    page = get(f"{lab.url}/productpage").text
    assert "William Shakespeare" in page
    assert "PublisherA" in page
    assert "glyphicon glyphicon-star" in page


def test_each_edge_is_open_on_real_proxies_and_no_other(lab: Bookinfo) -> None:
    paths = {"productpage": "productpage", "details": "details/0", "reviews": "reviews/0", "ratings": "ratings/0"}
    answers = {}
    for caller in SERVICES:
        workload = "reviews-v3" if caller == "reviews" else f"{caller}-v1"
        for service in SERVICES:
            url = f"http://{service}:9080/{paths[service]}"
            answers[caller, service] = lab("exec", workload, "--", sys.executable, "-c", ASK, url).strip()
    assert {edge for edge, answer in answers.items() if answer == "200"} == GRAPH
    assert {answer for edge, answer in answers.items() if edge not in GRAPH} == {"403"}


def test_the_gateway_lets_people_sign_in_and_write_nothing_else(lab: Bookinfo) -> None:
    class NotFollowed(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_arguments: object) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NotFollowed())

    def post(path: str, **form: str) -> int:
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open(f"{lab.url}{path}", data=urlencode(form).encode(), timeout=20)
        with caught.value:
            return int(caught.value.code)

    assert post("/login", username="jason", passwd="password") in (302, 303)
    assert post("/productpage") == 403


def test_the_probe_of_helm_test_finds_the_gateway_open_and_a_stranger_refused(lab: Bookinfo) -> None:
    """The program that runs in the chart's test pods, here as one that is in no mesh."""
    addresses = [lab.workload(f"{service}-v1")["address"] for service in SERVICES]

    def probe(expected: str, *urls: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(CHART / "files/probe.py"), "5", expected, *urls]
        return subprocess.run(program, capture_output=True, text=True, timeout=60)

    served = probe("served", f"{lab.url}/productpage")
    assert served.returncode == 0, served.stdout
    refused = probe("refused", *(f"http://{address}:9080/" for address in addresses))
    assert refused.returncode == 0, refused.stdout
    assert refused.stdout.count("broken off") == len(SERVICES)


def test_the_gateway_api_overlay_is_obeyed_too(helm: Helm, tmp_path: Path) -> None:
    """Gateway, HTTPRoutes that choose among the versions' Services, and policies that name the Gateway's identity."""
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
        assert get(f"{bookinfo.url}/productpage").status == 403  # the policies name the other gateway
    finally:
        bookinfo("down")
