"""The canary controller in a real lab: pages are loaded through real Envoys, and their numbers decide.

One lab has a good new build of reviews, one that fails, and one that is slow, each as one more Deployment with a
version of its own.
"""

import json
import os
import re
import signal
import socket
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
from tests.lab.conftest import Bookinfo, eventually, get

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy

ROOT = Path(__file__).parents[3]
CANARY = (sys.executable, "-m", "bookinfo_canary")
BUILDS = {
    "v1-good": {},
    "v1-failing": {"FAULT_ABORT_PERCENT": "40"},
    "v1-slow": {"FAULT_DELAY_MS": "1600"},
}
PAGES_A_SECOND = 30
# Windows of seconds judge fewer requests than a release would; the floor leaves room for a busy machine.
QUICK = ("--steps=25,50,100", "--window=3s", "--limit=30s", "--settle=1s", "--min-requests=20", "--p99-floor=1s")


REVIEWS_ROUTE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "reviews"},
}


def documents(path: str) -> list[dict[str, Any]]:
    """What a file of the repository holds."""
    return list(yaml.safe_load_all((ROOT / path).read_text()))


def manifests() -> list[dict[str, Any]]:
    """A Deployment for each new build of reviews v1, and the rule that names the versions."""
    documents = list(yaml.safe_load_all((ROOT / "kubernetes/bookinfo.yaml").read_text()))
    (stable,) = [
        item for item in documents if item["kind"] == "Deployment" and item["metadata"]["name"] == "reviews-v1"
    ]
    made = []
    for version, env in BUILDS.items():
        build = json.loads(json.dumps(stable))
        build["metadata"]["name"] = f"reviews-{version}"
        labels = {"app": "reviews", "version": version}
        build["metadata"]["labels"] = build["spec"]["selector"]["matchLabels"] = labels
        build["spec"]["template"]["metadata"]["labels"] = labels
        build["spec"]["template"]["spec"]["containers"][0]["env"] += [
            {"name": name, "value": value} for name, value in env.items()
        ]
        made.append(build)
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", *BUILDS)]
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews"},
        "spec": {"host": "reviews", "subsets": subsets},
    }
    return [*made, rule]


@dataclass(frozen=True)
class Shop:
    """A lab, and the controller that works on it."""

    lab: Bookinfo

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """The controller."""
        return subprocess.Popen(
            [*CANARY, command, "--service=reviews", "--stable=v1", "--target=lab", *arguments],
            env=self.lab.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        """How it ended, and what it said."""
        with self.start(command, *arguments) as running:
            try:
                told, _ = running.communicate(timeout=120)
            finally:
                running.kill()
        return running.returncode, told

    def weights(self) -> dict[str, int]:
        """The route as it is."""
        (route,) = json.loads(self.lab("get", "virtualservice", "reviews", "-o", "json"))
        (rule,) = route["spec"]["http"]
        return {entry["destination"]["subset"]: entry["weight"] for entry in rule["route"]}

    def pages(self, count: int = 20) -> Counter[str]:
        """Which Deployments of reviews wrote so many pages."""
        url = f"{self.lab.url}/productpage"
        pattern = re.compile(r"reviews-(v1[a-z-]*?)-[0-9a-f]{6,10}-")
        return Counter(found[1] for _ in range(count) if (found := pattern.search(get(url).text)))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """All requests go to v1 before the new builds come, as in a release."""
    try:
        envoy.find(os.environ)
    except LabError as error:
        pytest.skip(str(error))
    lab = Bookinfo(tmp_path_factory.mktemp("state"), "canary")
    lab("up", "--detach", "--gateway-port=0")
    try:
        shop = Shop(lab)
        assert shop.run("rollback") == (0, "rolled back: v1 has every request of reviews, because that was asked for\n")
        lab("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests()))
        for version in ("v2", "v3"):
            lab("scale", f"reviews-{version}", "--replicas=0")
        yield shop
    finally:
        lab("down")


@pytest.fixture(scope="module")
def traffic(shop: Shop) -> Iterator[None]:
    """People who read pages, from the first test that wants them."""
    load = shop.lab.start("load", f"--rps={PAGES_A_SECOND}")
    try:
        yield
    finally:
        load.terminate()
        load.wait(30)


def test_a_new_build_gets_nothing_before_its_release(shop: Shop) -> None:
    assert shop.pages() == {"v1": 20}


def test_without_requests_the_gate_waits_and_then_the_canary_goes_back(shop: Shop) -> None:
    began = time.monotonic()
    status, told = shop.run("run", "--canary=v1-good", "--window=1s", "--limit=2s", "--settle=0s")
    assert status == 1, told
    assert time.monotonic() - began > 2
    assert "it was not decided within 2 s: v1-good had 0 of the 100 requests that are needed" in told
    assert shop.weights() == {"v1": 100}


@pytest.mark.usefixtures("traffic")
def test_a_build_that_fails_is_rolled_back_at_the_first_step(shop: Shop) -> None:
    status, told = shop.run("run", "--canary=v1-failing", *QUICK)
    assert status == 1, told
    assert re.search(r"rolled back: v1 .* because [\d.]+ % of \d+ requests to v1-failing succeeded", told)
    assert "v1-failing 25 %" in told
    assert "v1-failing 50 %" not in told
    assert shop.weights() == {"v1": 100}
    assert shop.pages() == {"v1": 20}


@pytest.mark.usefixtures("traffic")
def test_a_build_that_is_slow_is_rolled_back_by_what_a_real_prometheus_saw(shop: Shop, prometheus: str) -> None:
    status, told = shop.run("run", "--canary=v1-slow", *QUICK, f"--prometheus={prometheus}", "--settle=2s")
    assert status == 1, told
    assert re.search(r"rolled back: v1 .* because p99 of v1-slow is \d{4} ms, at most 1\d{3} ms may be", told)
    assert "v1-slow 50 %" not in told
    assert shop.weights() == {"v1": 100}


@pytest.mark.usefixtures("traffic")
def test_an_abort_half_way_restores_the_stable_route(shop: Shop) -> None:
    with shop.start("run", "--canary=v1-good", *QUICK) as running:
        assert running.stdout
        told = ""
        for line in running.stdout:
            told += line
            if line == "reviews: v1 50 %, v1-good 50 %\n":
                assert shop.weights() == {"v1": 50, "v1-good": 50}
                running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 1, told
    assert "rolled back: v1 has every request of reviews, because it was stopped by SIGTERM" in told
    assert shop.weights() == {"v1": 100}
    assert shop.pages() == {"v1": 20}


@pytest.mark.usefixtures("traffic")
def test_a_good_build_gets_every_request(shop: Shop) -> None:
    status, told = shop.run("run", "--canary=v1-good", *QUICK, "--steps=50,100")
    assert status == 0, told
    assert told.endswith("promoted: v1-good has every request of reviews\n")
    assert shop.weights() == {"v1-good": 100}
    assert shop.pages() == {"v1-good": 20}


@pytest.mark.usefixtures("traffic")
def test_a_build_of_which_no_instance_is_there_is_rolled_back(shop: Shop) -> None:
    """Its requests reach nobody, so no proxy can say which version they were for."""
    shop.run("rollback")
    shop.lab("scale", "reviews-v1-slow", "--replicas=0")
    status, told = shop.run("run", "--canary=v1-slow", *QUICK)
    assert status == 1, told
    assert re.search(r"rolled back: v1 .*; \d+ of the failures reached no instance of any version", told)
    assert shop.weights() == {"v1": 100}


@pytest.mark.usefixtures("traffic")
def test_an_httproute_between_services_of_the_versions_does_the_same(shop: Shop) -> None:
    shop.lab("delete", "-f", "-", stdin=yaml.safe_dump(REVIEWS_ROUTE))
    services = [
        item for item in documents("kubernetes/version-services.yaml") if item["metadata"]["name"] == "reviews-v1"
    ]
    text = yaml.safe_dump_all(services)
    shop.lab("apply", "-f", "-", stdin=f"{text}---\n{re.sub('(?<!apiVersion: )v1', 'v1-failing', text)}")
    assert shop.run("rollback", "--route=httproute")[0] == 0
    status, told = shop.run("run", "--canary=v1-failing", "--route=httproute", *QUICK)
    assert status == 1, told
    assert re.search(r"rolled back: v1 .* because [\d.]+ % of \d+ requests to v1-failing succeeded", told)
    (route,) = json.loads(shop.lab("get", "httproute", "reviews", "-o", "json"))
    assert [backend["name"] for backend in route["spec"]["rules"][0]["backendRefs"]] == ["reviews-v1"]
    assert shop.pages() == {"v1": 20}


@pytest.fixture(scope="module")
def prometheus(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that scrapes what the lab says."""
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = yaml.safe_load(shop.lab("prometheus-config"))
    for job in configuration["scrape_configs"]:
        job.update(scrape_interval="1s", scrape_timeout="1s")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:{1}".format(*free.getsockname())
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    try:
        running = subprocess.Popen([*command, f"--web.listen-address={address}", "--log.level=error"])
    except FileNotFoundError:
        pytest.skip("there is no `prometheus` on PATH: install it to prove that the gate reads one")
    query = f"http://{address}/api/v1/query?query=istio_requests_total"
    try:

        def scraped() -> bool:
            assert running.poll() is None, "Prometheus ended"
            try:
                return bool(json.loads(get(query).text)["data"]["result"])
            except (OSError, ValueError):  # nobody listens; what it reads first is not read yet
                return False

        eventually(scraped)
        yield f"http://{address}"
    finally:
        running.terminate()
        running.wait(30)
