"""A checkout in which builds run, and what they run against: a real engine, a real registry, a real Helm.

There is no cluster: Helm, kubectl and the canary controller use a fake Kubernetes API server.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from jenkins.tests.jenkins import GROOVY, ROOT, Jenkins, git

from bookinfo_testing import docker, fake_kubernetes, fake_prometheus
from bookinfo_testing.fake_kubernetes import FakeKubernetes
from bookinfo_testing.fake_prometheus import FakePrometheus
from bookinfo_testing.scripts import load_script, write_program, write_recording_program

KUBECTL = Path(sys.executable).with_name("kubectl")
NAMESPACE = "shop"
USER, PASSWORD = "pusher", "let-me-push"
HTPASSWD = "$2b$05$abcdefghijklmnopqrstuuDCOyDNlCkTxAYmncphlemP3YSRvUTnW"
"""bcrypt of PASSWORD, with a salt that nobody needs to keep."""


@pytest.fixture(scope="session")
def groovy() -> None:
    """A Groovy, or no test of those that need one."""
    if shutil.which("java") is None:
        pytest.skip("there is no java on PATH: install a JRE of 17 or newer to run the Jenkinsfile")
    if not GROOVY.exists():
        pytest.skip("there is no Groovy: install npm, then `make pipeline` fetches it")


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers, or no test of those that need one."""
    docker.require_engine()


@pytest.fixture(scope="session")
def helm() -> Path:
    """A real Helm, or no test of those that need one."""
    tool = load_script(ROOT / "charts/tools/helm.py")
    try:
        return Path(tool.find())
    except tool.HelmNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry that wants a password, as `host:port`."""
    with docker.run_registry(tmp_path_factory.mktemp("registry"), f"{USER}:{HTPASSWD}") as address:
        yield address


@dataclass
class Site:
    """Where builds run, and what they leave there."""

    jenkins: Jenkins
    cluster: FakeKubernetes
    metrics: FakePrometheus
    registry: str
    """With its final slash."""
    programs: Path
    """A folder that is first on PATH."""
    calls: Path

    def called(self, *start: str) -> list[list[str]]:
        """The calls of helm and kubectl that begin with these words."""
        calls = [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []
        return [call for call in calls if call[: len(start)] == list(start)]

    def images(self) -> dict[str, str]:
        """The image of every Deployment."""
        deployments = self.cluster.objects_of("Deployment")
        return {name: item["spec"]["template"]["spec"]["containers"][0]["image"] for name, item in deployments.items()}

    def weights(self) -> dict[str, int]:
        """The weights of the route that the canary controller owns."""
        routes = self.cluster.objects_of("VirtualService").get("reviews")
        if routes is None:
            return {}
        (rule,) = routes["spec"]["http"]
        return {entry["destination"]["subset"]: entry["weight"] for entry in rule["route"]}


IMAGES = json.loads((ROOT / "docker-bake.json").read_text())["group"]["default"]["targets"]


def digest(image: str, build: str) -> str:
    """A digest that tells an image of a build apart from all others."""
    return "sha256:" + hashlib.sha256(f"{image} {build}".encode()).hexdigest()


def with_pushed(workspace: Path, build: str) -> Path:
    """What the stages before leave for the stage "Roll out", as if they had pushed a build."""
    out = workspace / "build/pipeline"
    out.mkdir(parents=True)
    commit = git(workspace, "rev-parse", "HEAD")
    (out / "version.env").write_text(f"COMMIT={commit}\nTAG={build}\nIS_MAIN=yes\n")
    (out / "digests.json").write_text(json.dumps({name: digest(name, build) for name in IMAGES}))
    return workspace


@pytest.fixture(scope="module")
def site(groovy: None, helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A checkout with everything around it but an engine and a registry."""
    folder = tmp_path_factory.mktemp("jenkins")
    (programs := folder / "programs").mkdir()
    calls = folder / "calls.jsonl"
    write_recording_program(programs / "helm", helm, calls)
    with fake_kubernetes.serve() as (cluster, kubernetes):
        kubeconfig = fake_kubernetes.write_kubeconfig(folder / "kubeconfig", kubernetes)
        kubectl = f"#!/bin/sh\nexec '{KUBECTL}' --cache-dir='{folder / 'kubectl-cache'}' \"$@\"\n"
        write_recording_program(programs / "kubectl", write_program(folder / "kubectl", kubectl), calls)
        cluster.logs["bookinfo-test-edges"] = "refused: reviews\n"
        metrics = FakePrometheus(cluster, NAMESPACE)
        with fake_prometheus.serve(metrics) as address:
            registry = "registry.invalid/shop/"
            environ = {
                "PATH": f"{programs}:{os.environ['PATH']}",
                "KUBECONFIG": str(kubeconfig),
                "HELM_KUBEAPISERVER": kubernetes,
                "BOOKINFO_NAMESPACE": NAMESPACE,
                "BOOKINFO_REGISTRY": registry,
                "BOOKINFO_PROMETHEUS_URL": address,
                "ROLLOUT_TIMEOUT": "5s",
                "CANARY_WINDOW": "200ms",  # the fake Prometheus does not depend on it
                "CANARY_SETTLE": "0s",
                "CANARY_LIMIT": "20s",
                "PUSH_RETRY_SECONDS": "0",
                # The test stages run the tests that are marked for it, one or two of each part.
                "PYTEST_ADDOPTS": "-m smoke",
                "PYTEST_XDIST_AUTO_NUM_WORKERS": "0",  # they are over before further workers are there
                "COVERAGE_MINIMUM": "0",
            }
            jenkins = Jenkins(folder, environ)
            yield Site(jenkins, cluster, metrics, registry, programs, calls)
