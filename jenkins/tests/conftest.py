"""The environment in which builds run: a real Docker engine, a real registry, and a fake Kubernetes API.

Helm, kubectl and the canary controller are real, and use the fake API.
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
from jenkins.tests.jenkinsfile_builds import ROOT, FakeJenkins, JenkinsfileRunner, git

from bookinfo_testing import docker, fake_kubernetes, fake_prometheus
from bookinfo_testing.fake_kubernetes import FakeKubernetes
from bookinfo_testing.fake_prometheus import FakePrometheus
from bookinfo_testing.scripts import load_script, write_program, write_recording_program

KUBECTL = Path(sys.executable).with_name("kubectl")
NAMESPACE = "shop"
USER, PASSWORD = "pusher", "let-me-push"
HTPASSWD = "$2b$05$abcdefghijklmnopqrstuuDCOyDNlCkTxAYmncphlemP3YSRvUTnW"
"""The bcrypt hash of PASSWORD."""
IMAGES = json.loads((ROOT / "docker-bake.json").read_text())["group"]["default"]["targets"]


@pytest.fixture(scope="session")
def runner() -> Iterator[JenkinsfileRunner]:
    """Start a JVM that executes Jenkinsfiles. Without Groovy its tests are skipped."""
    if shutil.which("groovy") is None:
        pytest.skip("no `groovy` on PATH; install Debian's packages groovy and default-jre-headless")
    running = JenkinsfileRunner()
    yield running
    running.close()


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """Skip the test without a running Docker engine."""
    docker.require_engine()


@pytest.fixture(scope="session")
def helm() -> Path:
    """Return a real Helm. Without one its tests are skipped."""
    tool = load_script(ROOT / "charts/tools/helm.py")
    try:
        return Path(tool.find())
    except tool.HelmNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real registry that requires a password, and return its `host:port`."""
    with docker.run_registry(tmp_path_factory.mktemp("registry"), f"{USER}:{HTPASSWD}") as address:
        yield address


@dataclass
class PipelineEnvironment:
    """Where builds run, and what they change."""

    jenkins: FakeJenkins
    cluster: FakeKubernetes
    metrics: FakePrometheus
    registry: str
    """Host and path, with the final slash."""
    programs: Path
    """The first directory on the builds' PATH."""
    calls: Path

    def calls_of(self, *start: str) -> list[list[str]]:
        """Return the calls of helm and kubectl that start with these words."""
        calls = [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []
        return [call for call in calls if call[: len(start)] == list(start)]

    def deployed_images(self) -> dict[str, str]:
        """Return the image of each Deployment."""
        deployments = self.cluster.objects_of("Deployment")
        return {name: item["spec"]["template"]["spec"]["containers"][0]["image"] for name, item in deployments.items()}

    def weights(self) -> dict[str, int]:
        """Return the weights of the route of reviews, which the canary controller owns."""
        routes = self.cluster.objects_of("VirtualService").get("reviews")
        if routes is None:
            return {}
        (rule,) = routes["spec"]["http"]
        return {entry["destination"]["subset"]: entry["weight"] for entry in rule["route"]}


def fake_digest(image: str, build: str) -> str:
    """Return a digest that is unique for an image of a build."""
    return "sha256:" + hashlib.sha256(f"{image} {build}".encode()).hexdigest()


def record_pushed_build(workspace: Path, build: str) -> Path:
    """Write what the stages before "Roll out" leave in a workspace, as if they had pushed `build`."""
    out = workspace / "build/pipeline"
    out.mkdir(parents=True)
    commit = git(workspace, "rev-parse", "HEAD")
    (out / "version.env").write_text(f"COMMIT={commit}\nTAG={build}\nIS_MAIN=yes\n")
    (out / "digests.json").write_text(json.dumps({name: fake_digest(name, build) for name in IMAGES}))
    return workspace


@pytest.fixture(scope="module")
def environment(
    runner: JenkinsfileRunner, helm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PipelineEnvironment]:
    """Create an environment without a Docker engine and without a registry."""
    directory = tmp_path_factory.mktemp("jenkins")
    (programs := directory / "programs").mkdir()
    calls = directory / "calls.jsonl"
    write_recording_program(programs / "helm", helm, calls)
    with fake_kubernetes.serve() as (cluster, kubernetes):
        kubeconfig = fake_kubernetes.write_kubeconfig(directory / "kubeconfig", kubernetes)
        kubectl = f"#!/bin/sh\nexec '{KUBECTL}' --cache-dir='{directory / 'kubectl-cache'}' \"$@\"\n"
        write_recording_program(programs / "kubectl", write_program(directory / "kubectl", kubectl), calls)
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
                "CANARY_WINDOW": "200ms",  # The fake metrics do not depend on the time.
                "CANARY_SETTLE": "0s",
                "CANARY_LIMIT": "20s",
                "PUSH_RETRY_SECONDS": "0",
                "PYTEST_ADDOPTS": "-m smoke",  # Each test stage runs one or two of its tests.
                "PYTEST_XDIST_AUTO_NUM_WORKERS": "0",  # Starting workers would take longer than the tests.
                "MAKEFLAGS": "TWO_LABS=",  # The same for the stage Lab, which has a fixed number of workers.
                "COVERAGE_MINIMUM": "0",
            }
            jenkins = FakeJenkins(runner, directory, environ)
            yield PipelineEnvironment(jenkins, cluster, metrics, registry, programs, calls)
