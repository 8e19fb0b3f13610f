"""The whole Jenkinsfile: every step of every stage runs, on a real engine and a real registry."""

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
from jenkins.tests.conftest import IMAGES, PASSWORD, USER, Site, with_pushed
from jenkins.tests.jenkins import ROOT, Build, git

from bookinfo_testing.polling import eventually
from bookinfo_testing.scripts import write_program

SERVICES = ("productpage", "details", "reviews", "ratings", "client", "books")


@dataclass(frozen=True)
class Pushed:
    """What the full run left."""

    build: Build
    commit: str
    tag: str
    registry: str
    digests: dict[str, str]

    def reference(self, name: str) -> str:
        """An image by its digest."""
        return f"{self.registry}{name}@{self.digests[name]}"


@pytest.fixture(scope="module")
def checkout(site: Site, engine: None, registry: str) -> Iterator[Callable[..., Path]]:
    """Checkouts of one commit, whose images go to the real registry; they are gone from the engine at the end."""
    address = f"{registry}/shop/"
    site.jenkins.environ["BOOKINFO_REGISTRY"] = site.registry = address
    site.jenkins.credentials["bookinfo-registry"] = {"username": USER, "password": PASSWORD}
    site.jenkins.environ["IMAGES"] = "bookinfo-details"  # which an SBOM is made of
    yield site.jenkins.checkout
    # By their names: one that others are built on could not be taken away by its id.
    found = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"{address}*").split()
    if found:
        run("docker", "rmi", *found)


@pytest.fixture(scope="module")
def pushed(site: Site, checkout: Callable[..., Path]) -> Pushed:
    """The one run that goes through everything for real, on a cluster that has an earlier build."""
    earlier = site.jenkins.build(with_pushed(checkout("earlier"), "earlier"), {"DEPLOY": True}, start_at="Roll out")
    assert earlier.result == "SUCCESS", earlier.log[-3000:]
    workspace = checkout()
    commit = git(workspace, "rev-parse", "HEAD")
    # Where nobody answers with advisory data the audit fails, which must not stop a test of the pipeline.
    params = {"DEPLOY": True, "AUDIT": "report", "SCENARIOS": "get-started", "CANARY_STEPS": "50,100"}
    build = site.jenkins.build(workspace, params, timeout=900)
    assert build.result == "SUCCESS", build.log[-6000:]
    version = (ROOT / "VERSION").read_text().strip()
    digests = json.loads((build.record / "published/archive/build/pipeline/digests.json").read_text())
    return Pushed(build, commit, f"{version}-{commit[:12]}", site.registry, digests)


def test_every_stage_of_the_full_run_succeeds_and_every_report_is_published(pushed: Pushed) -> None:
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


def test_the_workspace_is_empty_in_the_end(pushed: Pushed) -> None:
    workspace = json.loads((pushed.build.record / "run.json").read_text())["workspace"]
    assert list(Path(workspace).iterdir()) == []


def test_every_image_is_in_the_registry_under_its_commit_and_as_latest_with_the_recorded_digest(pushed: Pushed) -> None:
    assert sorted(pushed.digests) == sorted(IMAGES)
    for name in ("bookinfo-details", "examples-bookinfo-reviews-v3", "bookinfo-envoy"):
        for tag in (pushed.tag, "latest"):
            assert registry_digest(pushed, name, tag) == pushed.digests[name]


def test_what_is_installed_in_the_end_is_what_was_pushed(site: Site, pushed: Pushed) -> None:
    assert pushed.build.lines("reviews: v3-")
    for workload, image in site.images().items():
        assert image == pushed.reference(f"bookinfo-{workload.partition('-')[0]}")


def test_the_password_stands_in_no_log_and_stays_on_no_disk(pushed: Pushed) -> None:
    assert PASSWORD not in pushed.build.log
    config = Path.home() / ".docker/config.json"
    assert pushed.registry.partition("/")[0] not in (config.read_text() if config.exists() else "")


def test_an_sbom_of_an_archive_is_that_of_the_image(pushed: Pushed, tmp_path: Path) -> None:
    # As where BuildKit builds and there is no engine to ask.
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


def test_an_empty_engine_pulls_every_image_and_starts_every_service(
    pushed: Pushed, empty_engine: dict[str, str]
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
        ask = ("exec", container, "curl", "-fsS", "http://127.0.0.1:9080/readyz")
        return subprocess.run(["docker", *ask], env={**os.environ, **empty_engine}, capture_output=True).returncode == 0

    for container in started.values():
        eventually(lambda container=container: ready(container))


@pytest.fixture
def bridge() -> Iterator[str]:
    """A network bridge for a second engine. Without one of its own it would take, or delete, that of the first."""
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
def empty_engine(pushed: Pushed, registry: str, bridge: str) -> Iterator[dict[str, str]]:
    """A second engine, whose store is empty, as the environment that leads docker to it."""
    # Not in pytest's folder: the path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        socket = f"unix://{folder}/docker.sock"
        command = ["dockerd", "--host", socket, f"--bridge={bridge}", "--iptables=false", "--ip-forward=false"]
        command += [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
        with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            environ = {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder / "config")}
            try:
                asked = ["docker", "--host", socket, "info"]
                eventually(lambda: process.poll() or not subprocess.run(asked, capture_output=True).returncode)
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                run("docker", "login", "--username", USER, "--password", PASSWORD, registry, environ=environ)
                yield environ
                containers = run("docker", "ps", "--all", "--quiet", environ=environ).split()
                if containers:
                    run("docker", "rm", "--force", *containers, environ=environ)
            finally:
                process.terminate()
                process.wait(timeout=60)


def registry_digest(pushed: Pushed, name: str, tag: str) -> str:
    """The digest that the registry itself tells."""
    host, _, path = pushed.registry.partition("/")
    url = f"http://{host}/v2/{path}{name}/manifests/{tag}"
    accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"
    headers = run("curl", "-fsSI", "--noproxy", "*", "--user", f"{USER}:{PASSWORD}", "--header", accept, url)
    (found,) = [
        line.partition(": ")[2] for line in headers.splitlines() if line.lower().startswith("docker-content-digest")
    ]
    return found.strip()


# --- other branches, on the images that are built ---------------------------------------------------------------------


def from_push(site: Site, workspace: Path, **environ: str) -> Build:
    """A build from the stage Push on: the images are those of the full run."""
    done = subprocess.run(
        ["jenkins/version.sh"],
        cwd=workspace,
        env={**os.environ, **site.jenkins.environ, "BRANCH_NAME": "main", **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return site.jenkins.build(workspace, start_at="Push", **environ)


def test_a_pull_request_is_neither_pushed_nor_rolled_out(
    site: Site, pushed: Pushed, checkout: Callable[..., Path]
) -> None:
    since = len(site.cluster.changes)
    build = site.jenkins.build(checkout(), {"DEPLOY": True}, start_at="Push", BRANCH_NAME="PR-7", CHANGE_ID="7")
    assert build.result == "SUCCESS", build.log[-3000:]
    assert build.stages("skipped") == ["Push", "Roll out"]
    assert "withCredentials" not in {event["event"] for event in build.events}
    assert site.cluster.changes[since:] == []


def test_a_commit_that_was_pushed_keeps_its_images_when_it_is_built_again(
    site: Site, pushed: Pushed, checkout: Callable[..., Path]
) -> None:
    build = from_push(site, checkout())
    assert build.result == "SUCCESS", build.log[-3000:]
    assert len(build.lines("push:")) == 2 * len(IMAGES)
    assert all("it stays" in line for line in build.lines("push:")[::2])
    recorded = json.loads((build.record / "published/archive/build/pipeline/digests.json").read_text())
    assert recorded == pushed.digests


def test_a_tag_is_never_moved_to_another_commit(site: Site, pushed: Pushed, checkout: Callable[..., Path]) -> None:
    build = from_push(site, checkout("another"), TAG=pushed.tag)
    assert build.result == "FAILURE"
    (line,) = build.lines("push: ")
    assert f"is there already, of commit {pushed.commit}, and a tag is never moved" in line
    assert registry_digest(pushed, "bookinfo-productpage", pushed.tag) == pushed.digests["bookinfo-productpage"]


@pytest.mark.parametrize(("failures", "result"), [(2, "SUCCESS"), (3, "FAILURE")])
def test_a_failed_push_is_tried_again_twice(
    site: Site,
    pushed: Pushed,
    checkout: Callable[..., Path],
    tmp_path: Path,
    failures: int,
    result: str,
) -> None:
    # A push that fails so often, then the real one; the tag is new, so that there is something to push.
    real = run("sh", "-c", "command -v docker")
    text = f"""#!/bin/sh
    if [ "$1" = push ]; then
      echo push >>{tmp_path}/pushes
      [ "$(wc -l <{tmp_path}/pushes)" -gt {failures} ] || {{ echo 'denied: try later' >&2; exit 1; }}
    fi
    exec {real} "$@"
    """
    write_program(tmp_path / "docker", text)
    # One image is enough, under a tag that is new.
    tag, name = f"retried-{failures}", "bookinfo-details"
    run("docker", "tag", f"{pushed.registry}{name}:{pushed.tag}", f"{pushed.registry}{name}:{tag}")
    workspace = checkout()
    bake = json.loads((workspace / "docker-bake.json").read_text())
    bake["target"] = {name: bake["target"][name]}
    (workspace / "docker-bake.json").write_text(json.dumps(bake))
    git(workspace, "commit", "--quiet", "--all", "--message", "One image")
    path = f"{tmp_path}:{site.jenkins.environ['PATH']}"
    build = from_push(site, workspace, TAG_NAME=tag, BRANCH_NAME=tag, PATH=path)
    assert build.result == result, build.log[-3000:]
    attempts = [line for line in build.lines("push: pushing") if "denied: try later" in line]
    assert len(attempts) == failures
    if result == "FAILURE":
        assert len((tmp_path / "pushes").read_text().splitlines()) == 3
        assert "failed 3 times: denied: try later" in attempts[-1]
        assert build.published("archive/build/pipeline/digests.json") == []


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        ({}, "ERROR: Could not find credentials entry with ID 'bookinfo-registry'"),
        (
            {"bookinfo-registry": {"username": "", "password": ""}},
            "push: no credentials for {registry}: set REGISTRY_USER and REGISTRY_PASSWORD (in Jenkins: the credential",
        ),
    ],
    ids=["no such credential", "an empty one"],
)
def test_missing_credentials_stop_with_one_clear_line(
    site: Site,
    pushed: Pushed,
    checkout: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    credentials: dict[str, dict[str, str]],
    told: str,
) -> None:
    monkeypatch.setattr(site.jenkins, "credentials", credentials)
    build = from_push(site, checkout())
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == ["Push"]
    assert len(build.lines(told.format(registry=pushed.registry))) == 1
    assert "Roll out" not in build.stages("started")


def test_a_failing_test_stops_the_build_before_any_image(site: Site, checkout: Callable[..., Path]) -> None:
    workspace = checkout()
    broken = workspace / "services/ratings/tests/test_ratings.py"
    broken.write_text(
        broken.read_text() + "\n\n@pytest.mark.smoke\ndef test_broken() -> None:\n    raise AssertionError\n"
    )
    git(workspace, "commit", "--quiet", "--all", "--message", "Break a test")
    build = site.jenkins.build(workspace, {"DEPLOY": True}, timeout=300)
    assert build.result == "FAILURE"
    assert "Unit" in build.stages("FAILURE")
    assert {"Images", "Push", "Roll out"}.isdisjoint(build.stages("started"))
    (junit,) = [event for event in build.events if event["event"] == "junit"]
    assert junit["failures"] == 1
