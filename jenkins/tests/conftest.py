"""A checkout in which builds run, and what they run against: a real engine, a real registry, a real Helm.

There is no cluster: Helm and the canary controller work on the stand-in for its API that the chart's tests have.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from charts.tests.rendering import load_tool
from containers.tests.conftest import eventually, get
from jenkins.tests.jenkins import GROOVY, ROOT, Jenkins, git
from jenkins.tests.prometheus_stand_in import Metrics, prometheus
from tests.chart.stand_in import Cluster, serving

NAMESPACE = "shop"
USER, PASSWORD = "pusher", "let-me-push"
HTPASSWD = "$2b$05$abcdefghijklmnopqrstuuDCOyDNlCkTxAYmncphlemP3YSRvUTnW"
"""bcrypt of PASSWORD, with a salt that nobody needs to keep."""


def load_script(name: str) -> ModuleType:
    """A Python script of jenkins/, as a module."""
    spec = importlib.util.spec_from_file_location(f"jenkins_{name}", ROOT / f"jenkins/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    if shutil.which("docker") is None:
        pytest.skip("there is no `docker` on PATH: install Docker to run the pipeline's steps")
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"no Docker engine answers: {done.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="session")
def helm() -> Path:
    """A real Helm, or no test of those that need one."""
    tool = load_tool("helm")
    try:
        return Path(tool.find())
    except tool.HelmNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry that wants a password, as `host:port`."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("there is no docker-registry on PATH: install Debian's package docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "users").write_text(f"{USER}:{HTPASSWD}\n")
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "users")}},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log) as process,
    ):
        try:
            eventually(lambda: get(f"http://{address}/v2/")[0] == 401, within=30)
            yield address
        finally:
            process.terminate()


@dataclass
class Site:
    """Where builds run, and what they leave there."""

    jenkins: Jenkins
    cluster: Cluster
    metrics: Metrics
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
        deployments = self.cluster.stored("Deployment")
        return {name: item["spec"]["template"]["spec"]["containers"][0]["image"] for name, item in deployments.items()}

    def weights(self) -> dict[str, int]:
        """The weights of the route that the canary controller owns."""
        routes = self.cluster.stored("VirtualService").get("reviews")
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


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str, str], None]:
    """Writes an executable script."""

    def write(folder: Path, name: str, text: str) -> None:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return write


@pytest.fixture(scope="module")
def site(
    groovy: None, helm: Path, program: Callable[[Path, str, str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A checkout with everything around it but an engine and a registry."""
    folder = tmp_path_factory.mktemp("jenkins")
    (programs := folder / "programs").mkdir()
    calls = folder / "calls.jsonl"
    record = f'{sys.executable} -c \'import json, sys; print(json.dumps(sys.argv[1:]))\' helm "$@" >>"$CALLS"\n'
    program(programs, "helm", f'#!/bin/sh\n{record}exec {helm} "$@"\n')
    stand_in = Path(__file__).with_name("kubectl_stand_in.py")
    program(programs, "kubectl", f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    with serving() as (cluster, kubernetes):
        metrics = Metrics(cluster, NAMESPACE)
        with prometheus(metrics) as address:
            registry = "registry.invalid/shop/"
            environ = {
                "PATH": f"{programs}:{os.environ['PATH']}",
                "CALLS": str(calls),
                "KUBERNETES": kubernetes,
                "HELM_KUBEAPISERVER": kubernetes,
                "BOOKINFO_NAMESPACE": NAMESPACE,
                "BOOKINFO_REGISTRY": registry,
                "BOOKINFO_PROMETHEUS_URL": address,
                "ROLLOUT_TIMEOUT": "5s",
                "CANARY_WINDOW": "200ms",  # what the stand-in answers does not depend on it
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
