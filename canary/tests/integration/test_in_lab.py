"""The canary controller in a real lab: its decisions rest on real requests through real Envoys.

The lab runs three new builds of reviews: a good one, a failing one and a slow one. Each is a Deployment with its own
version.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.lab.conftest import Bookinfo, get

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy
from bookinfo_testing.prometheus import run_prometheus

ROOT = Path(__file__).parents[3]
CANARY = (sys.executable, "-m", "bookinfo_canary")
BUILDS = {
    "v1-good": {},
    "v1-failing": {"FAULT_ABORT_PERCENT": "40"},
    "v1-slow": {"FAULT_DELAY_MS": "1600"},
}
PAGES_PER_SECOND = 30
# Short windows have fewer requests than those of a real release. The high floor tolerates a busy computer.
SHORT_WINDOWS = (
    "--steps=25,50,100",
    "--window=3s",
    "--limit=30s",
    "--settle=1s",
    "--min-requests=20",
    "--p99-floor=1s",
)


REVIEWS_ROUTE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "reviews"},
}


def documents(path: str) -> list[dict[str, Any]]:
    """Return the documents of a file of this repository."""
    return list(yaml.safe_load_all((ROOT / path).read_text()))


def manifests() -> list[dict[str, Any]]:
    """Return a Deployment for each new build of reviews v1, and the rule that defines the versions."""
    documents = list(yaml.safe_load_all((ROOT / "kubernetes/bookinfo.yaml").read_text()))
    (stable,) = [
        item for item in documents if item["kind"] == "Deployment" and item["metadata"]["name"] == "reviews-v1"
    ]
    deployments = []
    for version, env in BUILDS.items():
        build = json.loads(json.dumps(stable))
        build["metadata"]["name"] = f"reviews-{version}"
        labels = {"app": "reviews", "version": version}
        build["metadata"]["labels"] = build["spec"]["selector"]["matchLabels"] = labels
        build["spec"]["template"]["metadata"]["labels"] = labels
        build["spec"]["template"]["spec"]["containers"][0]["env"] += [
            {"name": name, "value": value} for name, value in env.items()
        ]
        deployments.append(build)
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", *BUILDS)]
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews"},
        "spec": {"host": "reviews", "subsets": subsets},
    }
    return [*deployments, rule]


@dataclass(frozen=True)
class CanaryLab:
    """A lab, with the controller for its service reviews."""

    bookinfo: Bookinfo

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Start the controller."""
        return subprocess.Popen(
            [*CANARY, command, "--service=reviews", "--stable=v1", "--target=lab", *arguments],
            env=self.bookinfo.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        """Return the exit code and the output of the controller."""
        with self.start(command, *arguments) as running:
            try:
                output, _ = running.communicate(timeout=120)
            finally:
                running.kill()
        return running.returncode, output

    def weights(self) -> dict[str, int]:
        """Return the current weights."""
        (route,) = json.loads(self.bookinfo("get", "virtualservice", "reviews", "-o", "json"))
        (rule,) = route["spec"]["http"]
        return {entry["destination"]["subset"]: entry["weight"] for entry in rule["route"]}

    def pages(self, count: int = 20) -> Counter[str]:
        """Request pages, and return how many each Deployment of reviews served."""
        url = f"{self.bookinfo.url}/productpage"
        pattern = re.compile(r"reviews-(v1[a-z-]*?)-[0-9a-f]{6,10}-")
        return Counter(found[1] for _ in range(count) if (found := pattern.search(get(url).text)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanaryLab]:
    """Start a lab, route every request to v1, and add the new builds."""
    try:
        envoy.find(os.environ)
    except LabError as error:
        pytest.skip(str(error))
    bookinfo = Bookinfo(tmp_path_factory.mktemp("state"), "canary")
    bookinfo("up", "--detach", "--gateway-port=0")
    try:
        lab = CanaryLab(bookinfo)
        rolled_back = "rolled back: v1 receives every request to reviews, because a rollback was requested\n"
        assert lab.run("rollback") == (0, rolled_back)
        bookinfo("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests()))
        for version in ("v2", "v3"):
            bookinfo("scale", f"reviews-{version}", "--replicas=0")
        yield lab
    finally:
        bookinfo("down")


@pytest.fixture(scope="module")
def traffic(lab: CanaryLab) -> Iterator[None]:
    """Request pages continuously, starting with the first test that needs it."""
    load = lab.bookinfo.start("load", f"--rps={PAGES_PER_SECOND}")
    try:
        yield
    finally:
        load.terminate()
        load.wait(30)


def test_new_build_receives_no_request_before_its_release(lab: CanaryLab) -> None:
    assert lab.pages() == {"v1": 20}


def test_canary_without_requests_is_rolled_back_at_the_limit(lab: CanaryLab) -> None:
    start = time.monotonic()
    exit_code, output = lab.run("run", "--canary=v1-good", "--window=1s", "--limit=2s", "--settle=0s")
    assert exit_code == 1, output
    assert time.monotonic() - start > 2
    assert "it was undecided after 2 s: v1-good had 0 of the 100 requests that are required" in output
    assert lab.weights() == {"v1": 100}


@pytest.mark.usefixtures("traffic")
def test_failing_build_is_rolled_back_at_the_first_step(lab: CanaryLab) -> None:
    exit_code, output = lab.run("run", "--canary=v1-failing", *SHORT_WINDOWS)
    assert exit_code == 1, output
    assert re.search(r"rolled back: v1 .* because [\d.]+ % of \d+ requests to v1-failing succeeded", output)
    assert "v1-failing 25 %" in output
    assert "v1-failing 50 %" not in output
    assert lab.weights() == {"v1": 100}
    assert lab.pages() == {"v1": 20}


@pytest.mark.usefixtures("traffic")
def test_slow_build_is_rolled_back_with_metrics_of_a_real_prometheus(lab: CanaryLab, prometheus: str) -> None:
    exit_code, output = lab.run("run", "--canary=v1-slow", *SHORT_WINDOWS, f"--prometheus={prometheus}", "--settle=2s")
    assert exit_code == 1, output
    assert re.search(r"rolled back: v1 .* because p99 of v1-slow is \d{4} ms \(maximum 1\d{3} ms", output)
    assert "v1-slow 50 %" not in output
    assert lab.weights() == {"v1": 100}


@pytest.mark.usefixtures("traffic")
def test_sigterm_restores_the_stable_route(lab: CanaryLab) -> None:
    with lab.start("run", "--canary=v1-good", *SHORT_WINDOWS) as running:
        assert running.stdout
        output = ""
        for line in running.stdout:
            output += line
            if line == "reviews: v1 50 %, v1-good 50 %\n":
                assert lab.weights() == {"v1": 50, "v1-good": 50}
                running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 1, output
    assert "rolled back: v1 receives every request to reviews, because it was stopped by SIGTERM" in output
    assert lab.weights() == {"v1": 100}
    assert lab.pages() == {"v1": 20}


@pytest.mark.usefixtures("traffic")
def test_good_build_receives_every_request(lab: CanaryLab) -> None:
    exit_code, output = lab.run("run", "--canary=v1-good", *SHORT_WINDOWS, "--steps=50,100")
    assert exit_code == 0, output
    assert output.endswith("promoted: v1-good receives every request to reviews\n")
    assert lab.weights() == {"v1-good": 100}
    assert lab.pages() == {"v1-good": 20}


@pytest.mark.usefixtures("traffic")
def test_build_without_a_pod_is_rolled_back(lab: CanaryLab) -> None:
    """Its requests reach no pod, so no proxy knows the version."""
    lab.run("rollback")
    lab.bookinfo("scale", "reviews-v1-slow", "--replicas=0")
    exit_code, output = lab.run("run", "--canary=v1-slow", *SHORT_WINDOWS)
    assert exit_code == 1, output
    assert re.search(r"rolled back: v1 .*; \d+ failed requests reached no pod of any version", output)
    assert lab.weights() == {"v1": 100}


@pytest.mark.usefixtures("traffic")
def test_failing_build_behind_an_httproute_is_rolled_back(lab: CanaryLab) -> None:
    lab.bookinfo("delete", "-f", "-", stdin=yaml.safe_dump(REVIEWS_ROUTE))
    services = [
        item for item in documents("kubernetes/version-services.yaml") if item["metadata"]["name"] == "reviews-v1"
    ]
    text = yaml.safe_dump_all(services)
    lab.bookinfo("apply", "-f", "-", stdin=f"{text}---\n{re.sub('(?<!apiVersion: )v1', 'v1-failing', text)}")
    assert lab.run("rollback", "--route=httproute")[0] == 0
    exit_code, output = lab.run("run", "--canary=v1-failing", "--route=httproute", *SHORT_WINDOWS)
    assert exit_code == 1, output
    assert re.search(r"rolled back: v1 .* because [\d.]+ % of \d+ requests to v1-failing succeeded", output)
    (route,) = json.loads(lab.bookinfo("get", "httproute", "reviews", "-o", "json"))
    assert [backend["name"] for backend in route["spec"]["rules"][0]["backendRefs"]] == ["reviews-v1"]
    assert lab.pages() == {"v1": 20}


@pytest.fixture(scope="module")
def prometheus(lab: CanaryLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real Prometheus that scrapes the lab."""
    configuration = yaml.safe_load(lab.bookinfo("prometheus-config"))
    for job in configuration["scrape_configs"]:
        job.update(scrape_interval="1s", scrape_timeout="1s")
    directory = tmp_path_factory.mktemp("prometheus")
    with run_prometheus(yaml.safe_dump(configuration), directory, first_query="istio_requests_total") as prometheus:
        yield prometheus.url
