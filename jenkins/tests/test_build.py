"""The whole Jenkinsfile: every step of every stage, with a real Docker engine and a real registry."""

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from containers.tests.conftest import run
from jenkins.tests.conftest import IMAGES, PASSWORD, USER, PipelineEnvironment, record_pushed_build
from jenkins.tests.jenkinsfile_builds import ROOT, Build, git

from bookinfo_testing.polling import eventually
from bookinfo_testing.scripts import write_program

SERVICES = ("productpage", "details", "reviews", "ratings", "client", "books")


@dataclass(frozen=True)
class PushedBuild:
    """The complete build, and the images that it pushed."""

    build: Build
    commit: str
    tag: str
    registry: str
    digests: dict[str, str]

    def reference(self, name: str) -> str:
        """Return the reference of an image by its digest."""
        return f"{self.registry}{name}@{self.digests[name]}"


@pytest.fixture(scope="module")
def checkout(environment: PipelineEnvironment, docker_engine: None, registry: str) -> Iterator[Callable[..., Path]]:
    """Return a function that creates checkouts whose images go to the real registry. They are deleted at the end."""
    address = f"{registry}/shop/"
    environment.jenkins.environ["BOOKINFO_REGISTRY"] = environment.registry = address
    environment.jenkins.credentials["bookinfo-registry"] = {"username": USER, "password": PASSWORD}
    environment.jenkins.environ["IMAGES"] = "bookinfo-details"  # the image of the SBOM
    yield environment.jenkins.checkout
    # By name, because an image with children cannot be deleted by id.
    found = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"{address}*").split()
    if found:
        run("docker", "rmi", *found)


@pytest.fixture(scope="module")
def pushed(environment: PipelineEnvironment, checkout: Callable[..., Path]) -> PushedBuild:
    """Run the complete pipeline once, on a cluster that has an earlier build."""
    earlier = environment.jenkins.build(
        record_pushed_build(checkout("earlier"), "earlier"), {"DEPLOY": True}, start_at="Roll out"
    )
    assert earlier.result == "SUCCESS", earlier.log[-3000:]
    workspace = checkout()
    commit = git(workspace, "rev-parse", "HEAD")
    # Without advisory data the audit fails, which must not fail this test.
    params = {"DEPLOY": True, "AUDIT": "report", "SCENARIOS": "get-started", "CANARY_STEPS": "50,100"}
    build = environment.jenkins.build(workspace, params, timeout_seconds=900)
    assert build.result == "SUCCESS", build.log[-6000:]
    version = (ROOT / "VERSION").read_text().strip()
    digests = json.loads((build.record / "published/archive/build/pipeline/digests.json").read_text())
    return PushedBuild(build, commit, f"{version}-{commit[:12]}", environment.registry, digests)


def test_every_stage_succeeds_and_every_report_is_published(pushed: PushedBuild) -> None:
    cells = [f"Build (GROUP={group})" for group in (*SERVICES, "envoy")]
    assert set(pushed.build.stages("SUCCESS")) == {
        *(
            "Checkout",
            "Setup",
            "Check",
            "Style",
            "Types",
            "Unit",
            "Test",
            "Contract",
            "Lab",
            "Chart",
            "Coverage",
            "Verify",
        ),
        *("Images", *cells, "SBOM and audit", "Push", "Roll out", "Deploy", "Smoke", "Canary", "Promote"),
    }
    reports = ["chart.xml", "contract.xml", "lab.xml", "telemetry.xml", "unit.xml"]
    assert pushed.build.published("junit/build/reports/*") == reports
    (junit,) = [event for event in pushed.build.events if event["event"] == "junit"]
    assert junit["tests"] >= len(reports)
    assert junit["failures"] == 0
    assert pushed.build.published("coverage/**/*.xml") == ["coverage.xml"]
    assert pushed.build.published("archive/build/reports/verify.txt") == ["verify.txt"]
    assert pushed.build.published("archive/build/sbom/*") == ["bookinfo-details.cdx.json"]


def test_workspace_is_deleted_at_the_end(pushed: PushedBuild) -> None:
    workspace = json.loads((pushed.build.record / "request.json").read_text())["workspace"]
    assert list(Path(workspace).iterdir()) == []


def test_every_image_is_pushed_with_its_tag_and_latest(pushed: PushedBuild) -> None:
    assert sorted(pushed.digests) == sorted(IMAGES)
    for name in ("bookinfo-details", "examples-bookinfo-reviews-v3", "bookinfo-envoy"):
        for tag in (pushed.tag, "latest"):
            assert registry_digest(pushed, name, tag) == pushed.digests[name]


def test_pushed_images_are_deployed(environment: PipelineEnvironment, pushed: PushedBuild) -> None:
    assert pushed.build.lines("reviews: v3-")
    for workload, image in environment.deployed_images().items():
        assert image == pushed.reference(f"bookinfo-{workload.partition('-')[0]}")


def test_password_is_neither_logged_nor_stored(pushed: PushedBuild) -> None:
    assert PASSWORD not in pushed.build.log
    config = Path.home() / ".docker/config.json"
    assert pushed.registry.partition("/")[0] not in (config.read_text() if config.exists() else "")


def test_sbom_of_an_archive_equals_that_of_the_image(pushed: PushedBuild, tmp_path: Path) -> None:
    # BuildKit writes archives, because there is no Docker engine.
    name = "bookinfo-details"
    run("docker", "save", "--output", tmp_path / f"{name}.tar", f"{pushed.registry}{name}:{pushed.tag}")
    environ = {"ARCHIVES": str(tmp_path), "REGISTRY": pushed.registry, "TAG": pushed.tag}
    run(ROOT / ".venv/containers/bin/python", "-m", "containers.sbom", name, environ=environ)
    archived, built = (
        {component["purl"] for component in json.loads(path.read_text())["components"] if "purl" in component}
        for path in (
            ROOT / f"build/sbom/{name}.cdx.json",
            pushed.build.record / f"published/archive/build/sbom/{name}.cdx.json",
        )
    )
    assert archived == built


def test_empty_engine_pulls_every_image_and_starts_every_service(
    pushed: PushedBuild, empty_engine: dict[str, str]
) -> None:
    def docker(*arguments: str) -> str:
        return run("docker", *arguments, environ=empty_engine)

    assert docker("images", "--quiet") == ""
    for name in pushed.digests:
        docker("pull", "--quiet", pushed.reference(name))
    revision = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
    assert docker("inspect", "--format", revision, pushed.reference("bookinfo-reviews")) == pushed.commit
    assert "version" in docker(
        "run", "--rm", "--network=none", pushed.reference("bookinfo-envoy"), "envoy", "--version"
    )
    started = {
        name: docker("run", "--detach", "--network=none", "--read-only", "--cap-drop=ALL", pushed.reference(name))
        for name in (f"bookinfo-{service}" for service in SERVICES if service != "client")
    }

    def ready(container: str) -> bool:
        command = ("exec", container, "curl", "-fsS", "http://127.0.0.1:9080/readyz")
        return (
            subprocess.run(["docker", *command], env={**os.environ, **empty_engine}, capture_output=True).returncode
            == 0
        )

    for container in started.values():
        eventually(lambda container=container: ready(container))


@pytest.fixture
def bridge() -> Iterator[str]:
    """Create a network bridge for a second engine, which must not use or delete the bridge of the first."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a second Docker engine needs root, and Debian's package iproute2")
    name = f"bookinfo-{uuid.uuid4().hex[:4]}"
    run("ip", "link", "add", "name", name, "type", "bridge")
    try:
        run("ip", "address", "add", "192.0.2.1/30", "dev", name)  # reserved for examples
        run("ip", "link", "set", name, "up")
        yield name
    finally:
        run("ip", "link", "delete", name)


@pytest.fixture
def empty_engine(pushed: PushedBuild, registry: str, bridge: str) -> Iterator[dict[str, str]]:
    """Start a second engine without images, and return the environment variables for its client."""
    # Not in pytest's directory: the path of a socket is limited to 107 characters.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        directory = Path(name)
        socket = f"unix://{directory}/docker.sock"
        command = ["dockerd", "--host", socket, f"--bridge={bridge}", "--iptables=false", "--ip-forward=false"]
        command += [f"--{name}={directory / name}" for name in ("data-root", "exec-root", "pidfile")]
        with (directory / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            environ = {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(directory / "config")}
            try:
                info = ["docker", "--host", socket, "info"]
                eventually(lambda: process.poll() or not subprocess.run(info, capture_output=True).returncode)
                assert process.poll() is None, (directory / "log").read_text()[-2000:]
                run("docker", "login", "--username", USER, "--password", PASSWORD, registry, environ=environ)
                yield environ
                containers = run("docker", "ps", "--all", "--quiet", environ=environ).split()
                if containers:
                    run("docker", "rm", "--force", *containers, environ=environ)
            finally:
                process.terminate()
                process.wait(timeout=60)


def registry_digest(pushed: PushedBuild, name: str, tag: str) -> str:
    """Return the digest of a tag in the registry."""
    host, _, path = pushed.registry.partition("/")
    url = f"http://{host}/v2/{path}{name}/manifests/{tag}"
    accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"
    headers = run("curl", "-fsSI", "--noproxy", "*", "--user", f"{USER}:{PASSWORD}", "--header", accept, url)
    (found,) = [
        line.partition(": ")[2] for line in headers.splitlines() if line.lower().startswith("docker-content-digest")
    ]
    return found.strip()


# --- other builds, with the images of the complete build --------------------------------------------------------------


def build_from_push(environment: PipelineEnvironment, workspace: Path, **environ: str) -> Build:
    """Run a build from the stage Push on, with the images of the complete build."""
    done = subprocess.run(
        ["jenkins/version.sh"],
        cwd=workspace,
        env={**os.environ, **environment.jenkins.environ, "BRANCH_NAME": "main", **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return environment.jenkins.build(workspace, start_at="Push", **environ)


def test_pull_request_is_neither_pushed_nor_rolled_out(
    environment: PipelineEnvironment, pushed: PushedBuild, checkout: Callable[..., Path]
) -> None:
    since = len(environment.cluster.changes)
    build = environment.jenkins.build(checkout(), {"DEPLOY": True}, start_at="Push", BRANCH_NAME="PR-7", CHANGE_ID="7")
    assert build.result == "SUCCESS", build.log[-3000:]
    assert build.stages("skipped") == ["Push", "Roll out"]
    assert "withCredentials" not in {event["event"] for event in build.events}
    assert environment.cluster.changes[since:] == []


def test_repeated_build_of_a_commit_keeps_its_images(
    environment: PipelineEnvironment, pushed: PushedBuild, checkout: Callable[..., Path]
) -> None:
    build = build_from_push(environment, checkout())
    assert build.result == "SUCCESS", build.log[-3000:]
    assert len(build.lines("push:")) == 2 * len(IMAGES)
    assert all("already exists, of this commit" in line for line in build.lines("push:")[::2])
    recorded = json.loads((build.record / "published/archive/build/pipeline/digests.json").read_text())
    assert recorded == pushed.digests


def test_tag_is_never_moved_to_another_commit(
    environment: PipelineEnvironment, pushed: PushedBuild, checkout: Callable[..., Path]
) -> None:
    build = build_from_push(environment, checkout("another"), TAG=pushed.tag)
    assert build.result == "FAILURE"
    (line,) = build.lines("push: ")
    assert f"already exists, of commit {pushed.commit}, and tags are never moved" in line
    assert registry_digest(pushed, "bookinfo-productpage", pushed.tag) == pushed.digests["bookinfo-productpage"]


@pytest.mark.parametrize(("failures", "result"), [(2, "SUCCESS"), (3, "FAILURE")])
def test_failed_push_is_retried_twice(
    environment: PipelineEnvironment,
    pushed: PushedBuild,
    checkout: Callable[..., Path],
    tmp_path: Path,
    failures: int,
    result: str,
) -> None:
    # A `docker push` that fails `failures` times before it really pushes.
    real = run("sh", "-c", "command -v docker")
    text = f"""#!/bin/sh
    if [ "$1" = push ]; then
      echo push >>{tmp_path}/pushes
      [ "$(wc -l <{tmp_path}/pushes)" -gt {failures} ] || {{ echo 'denied: try later' >&2; exit 1; }}
    fi
    exec {real} "$@"
    """
    write_program(tmp_path / "docker", text)
    # One image with a new tag is enough.
    tag, name = f"retried-{failures}", "bookinfo-details"
    run("docker", "tag", f"{pushed.registry}{name}:{pushed.tag}", f"{pushed.registry}{name}:{tag}")
    workspace = checkout()
    bake = json.loads((workspace / "docker-bake.json").read_text())
    bake["target"] = {name: bake["target"][name]}
    (workspace / "docker-bake.json").write_text(json.dumps(bake))
    git(workspace, "commit", "--quiet", "--all", "--message", "One image")
    path = f"{tmp_path}:{environment.jenkins.environ['PATH']}"
    build = build_from_push(environment, workspace, TAG_NAME=tag, BRANCH_NAME=tag, PATH=path)
    assert build.result == result, build.log[-3000:]
    attempts = [line for line in build.lines("push: pushing") if "denied: try later" in line]
    assert len(attempts) == failures
    if result == "FAILURE":
        assert len((tmp_path / "pushes").read_text().splitlines()) == 3
        assert "failed 3 times: denied: try later" in attempts[-1]
        assert build.published("archive/build/pipeline/digests.json") == []


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        ({}, "ERROR: credentials not found: bookinfo-registry"),
        (
            {"bookinfo-registry": {"username": "", "password": ""}},
            "push: no credentials for {registry}; set REGISTRY_USER and REGISTRY_PASSWORD (in Jenkins: the credential",
        ),
    ],
    ids=["missing", "empty"],
)
def test_missing_credentials_are_one_line(
    environment: PipelineEnvironment,
    pushed: PushedBuild,
    checkout: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    credentials: dict[str, dict[str, str]],
    message: str,
) -> None:
    monkeypatch.setattr(environment.jenkins, "credentials", credentials)
    build = build_from_push(environment, checkout())
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == ["Push"]
    assert len(build.lines(message.format(registry=pushed.registry))) == 1
    assert "Roll out" not in build.stages("started")
