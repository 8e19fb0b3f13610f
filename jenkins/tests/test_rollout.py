"""The stage "Roll out" of the Jenkinsfile, with a real Helm and the real controller on a fake Kubernetes API."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from jenkins.tests.conftest import PipelineEnvironment, fake_digest, record_pushed_build
from jenkins.tests.jenkinsfile_builds import Build, git

from bookinfo_testing.polling import eventually
from bookinfo_testing.scripts import write_program

WORKLOADS = {"productpage-v1", "details-v1", "reviews-v3", "ratings-v1"}


@pytest.fixture
def pushed_build(environment: PipelineEnvironment) -> Callable[[str], Path]:
    """Return a function that creates the checkout of a build as the earlier stages leave it."""
    return lambda build: record_pushed_build(environment.jenkins.checkout(build), build)


@pytest.fixture
def roll_out(
    environment: PipelineEnvironment, pushed_build: Callable[[str], Path], tmp_path: Path
) -> Callable[..., Build]:
    """Return a function that rolls out a build. Smoke tests take half of the time, so they run only with `smoke`."""
    (tmp_path / "without-tests.yaml").write_text("tests: {enabled: false}\n")
    without_tests = {"VALUES": f"jenkins/release.yaml {tmp_path}/without-tests.yaml"}

    def build(
        name: str,
        params: Mapping[str, str] | None = None,
        abort_file: Path | None = None,
        stage_timeouts: Mapping[str, int] | None = None,
        *,
        smoke: bool = False,
        **environ: str,
    ) -> Build:
        environment.calls.unlink(missing_ok=True)
        all_params = {"DEPLOY": True, **({} if smoke else without_tests), **(params or {})}
        return environment.jenkins.build(
            pushed_build(name),
            all_params,
            start_at="Roll out",
            abort_file=abort_file,
            stage_timeouts=stage_timeouts,
            **environ,
        )

    return build


@pytest.fixture
def installed(environment: PipelineEnvironment, roll_out: Callable[..., Build]) -> str:
    """Return the name of the build that every workload runs, after rolling one out if there is none."""
    environment.metrics.canary_fails = False
    environment.cluster.failing.clear()
    if not environment.cluster.objects_of("Deployment"):
        first = roll_out("one")
        assert first.result == "SUCCESS", first.log
    return next(build for build in ("one", "two") if runs_everywhere(environment, build))


@pytest.fixture
def next_build(installed: str) -> str:
    """Return the name of a build that can be rolled out next."""
    return {"one": "two", "two": "one"}[installed]


def when(condition: Callable[[], bool], act: Callable[[], object]) -> None:
    """Call `act` in a thread as soon as `condition` is true."""

    def wait() -> None:
        eventually(condition, within=120)
        act()

    threading.Thread(target=wait, daemon=True).start()


def runs_everywhere(environment: PipelineEnvironment, build: str) -> bool:
    """Return whether every workload runs `build`, without a canary."""
    return environment.deployed_images() == {
        workload: f"registry.invalid/shop/bookinfo-{name}@{fake_digest(f'bookinfo-{name}', build)}"
        for workload, name in ((workload, workload.partition("-")[0]) for workload in WORKLOADS)
    }


def test_first_build_is_installed_completely_without_a_canary(
    environment: PipelineEnvironment, roll_out: Callable[..., Build]
) -> None:
    build = roll_out("one", smoke=True)
    assert build.result == "SUCCESS", build.log
    assert runs_everywhere(environment, "one")
    assert environment.calls_of("helm", "test")
    assert build.lines("TEST SUITE:     bookinfo-test-gateway")
    assert build.lines("canary: the release has no canary")
    assert build.lines("promote: the release has no canary")
    assert environment.weights() == {}


def test_deploy_adds_a_canary_with_weight_0_and_changes_nothing_else(
    environment: PipelineEnvironment, installed: str, pushed_build: Callable[[str], Path]
) -> None:
    workspace = pushed_build("added")
    before = environment.deployed_images()
    script(environment, workspace, "deploy.sh")
    (added,) = environment.deployed_images().keys() - before.keys()
    name = f"v3-{git(workspace, 'rev-parse', 'HEAD')[:12]}"
    assert added == f"reviews-{name}"
    assert {workload: environment.deployed_images()[workload] for workload in before} == before
    assert environment.deployed_images()[added].endswith(fake_digest("bookinfo-reviews", "added"))
    canary = environment.cluster.objects_of("Deployment")[added]["spec"]["template"]
    assert canary["metadata"]["labels"]["version"] == name
    (container,) = canary["spec"]["containers"]
    assert {"name": "VERSION", "value": "v3"} in container["env"]
    assert environment.weights() == {"v3": 100}
    script(environment, workspace, "rollback.sh")
    assert environment.deployed_images() == before


def test_good_build_passes_its_steps_and_is_promoted_everywhere(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build]
) -> None:
    environment.calls.unlink(missing_ok=True)
    since = len(environment.cluster.changes)
    build = roll_out("two", {"CANARY_STEPS": "30,100"}, smoke=True)
    assert build.result == "SUCCESS", build.log
    assert build.stages("SUCCESS") == ["Deploy", "Smoke", "Canary", "Promote", "Roll out"]
    assert runs_everywhere(environment, "two")
    assert environment.weights() == {"v3": 100}
    # The route goes to stable first, then through the steps. After the promotion it returns to stable. Only then the
    # canary is removed.
    done = [change for change in environment.cluster.changes[since:] if change[1] in ("VirtualService", "Deployment")]
    routes = [position for position, change in enumerate(done) if change[1] == "VirtualService"]
    (_, full, back) = routes[-3:]
    assert done[routes[-3] - 1][:2] == ("create", "Deployment")
    assert {change[2] for change in done[full + 1 : back]} >= WORKLOADS
    assert [change[0] for change in done[back + 1 :]] == ["delete"]


@pytest.mark.parametrize(("image", "stage"), [("reviews", "Deploy"), ("productpage", "Promote")])
def test_pod_that_is_not_ready_rolls_back_everything(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build], image: str, stage: str
) -> None:
    before = environment.deployed_images()
    environment.cluster.failing.add(
        f"registry.invalid/shop/bookinfo-{image}@{fake_digest(f'bookinfo-{image}', f'broken-{image}')}"
    )
    build = roll_out(f"broken-{image}", {"CANARY_STEPS": "30,100"})
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == [stage, "Roll out"]
    assert all({"--wait", "--rollback-on-failure"} <= set(call) for call in environment.calls_of("helm", "upgrade"))
    assert environment.deployed_images() == before
    assert environment.weights() == {"v3": 100}


def test_bad_build_is_rolled_back_at_its_first_step(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build]
) -> None:
    environment.metrics.canary_fails = True
    before = environment.deployed_images()
    build = roll_out("bad")
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == ["Canary", "Roll out"]
    assert environment.deployed_images() == before
    assert environment.weights() == {"v3": 100}
    assert "Promote" not in build.stages("started")


def test_failed_smoke_test_rolls_back_before_any_traffic(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build]
) -> None:
    environment.cluster.failing.add("bookinfo-test-edges")
    before = environment.deployed_images()
    build = roll_out("smoke-failure", smoke=True)
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == ["Smoke", "Roll out"]
    assert build.lines("[pod/bookinfo-test-edges/probe] refused: reviews")
    assert environment.deployed_images() == before
    assert environment.weights() == {"v3": 100}


def test_abort_during_the_canary_restores_the_route_and_removes_the_canary(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build], tmp_path: Path
) -> None:
    before = environment.deployed_images()
    environment.metrics.queried.clear()
    # The abort happens while the canary has traffic.
    when(environment.metrics.queried.is_set, (tmp_path / "abort").touch)
    build = roll_out("aborted", {"CANARY_STEPS": "10,20,30,40,50,60,70,80,90,100"}, tmp_path / "abort")
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Canary", "Roll out"]
    assert environment.deployed_images() == before
    assert environment.weights() == {"v3": 100}


def test_timeout_during_the_canary_rolls_back(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build]
) -> None:
    before = environment.deployed_images()
    build = roll_out("endless", {"CANARY_STEPS": "10,20,30,40,50,60,70,80,90,100"}, stage_timeouts={"Canary": 4})
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Canary", "Roll out"]
    assert environment.deployed_images() == before
    assert environment.weights() == {"v3": 100}


# An abort during the first upgrade of the promotion restores the stable build. A later abort keeps the new build.


def test_abort_during_the_first_upgrade_restores_the_stable_build(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build], tmp_path: Path
) -> None:
    before = environment.deployed_images()
    # Helm waits for pods of productpage that never become ready. The service of the canary already has its new image.
    environment.cluster.failing.add(image(environment, "productpage", "halted"))
    when(
        lambda: environment.deployed_images()["reviews-v3"] == image(environment, "reviews", "halted"),
        (tmp_path / "abort").touch,
    )
    build = roll_out("halted", {"CANARY_STEPS": "30,100"}, tmp_path / "abort", ROLLOUT_TIMEOUT="2m")
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Promote", "Roll out"]
    assert environment.deployed_images() == before
    assert environment.weights() == {"v3": 100}


def test_abort_while_the_canary_is_removed_keeps_the_promoted_build(
    environment: PipelineEnvironment, installed: str, next_build: str, roll_out: Callable[..., Build], tmp_path: Path
) -> None:
    promoted = image(environment, "reviews", next_build)

    def never_ready() -> None:
        # Otherwise Helm would finish as soon as the canary is removed.
        environment.cluster.failing.add(image(environment, "productpage", next_build))
        when(lambda: set(environment.deployed_images()) == WORKLOADS, abort)

    def abort() -> None:
        environment.cluster.failing.clear()  # so that rollback.sh can upgrade
        (tmp_path / "abort").touch()

    when(
        lambda: environment.deployed_images()["reviews-v3"] == promoted and environment.weights() == {"v3": 100},
        never_ready,
    )
    build = roll_out(next_build, {"CANARY_STEPS": "30,100"}, tmp_path / "abort", ROLLOUT_TIMEOUT="2m")
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Promote", "Roll out"]
    assert runs_everywhere(environment, next_build)
    assert environment.weights() == {"v3": 100}


def test_abort_that_helm_ignores_is_handled_after_helm_ends(
    environment: PipelineEnvironment,
    installed: str,
    next_build: str,
    roll_out: Callable[..., Build],
    tmp_path: Path,
) -> None:
    # The abort happens before the second upgrade has changed anything in the cluster, and Helm ignores the signal.
    text = f"""#!/bin/sh
    [ "$1" != upgrade ] || echo upgrade >>{tmp_path}/upgrades
    if [ "$1" = upgrade ] && [ "$(wc -l <{tmp_path}/upgrades)" -eq 2 ]; then
      trap '' TERM
      touch {tmp_path}/abort
      sleep 3
    fi
    exec {environment.programs}/helm "$@"
    """
    write_program(tmp_path / "helm", text)
    path = f"{tmp_path}:{environment.jenkins.environ['PATH']}"
    build = roll_out(next_build, {"CANARY_STEPS": "30,100"}, tmp_path / "abort", PATH=path)
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Promote", "Roll out"]
    assert runs_everywhere(environment, next_build)
    assert environment.weights() == {"v3": 100}


def test_canary_of_a_killed_run_is_removed_by_the_next_run(
    environment: PipelineEnvironment, installed: str, pushed_build: Callable[[str], Path]
) -> None:
    script(environment, pushed_build("killed"), "deploy.sh")
    canary = set(environment.deployed_images()) - WORKLOADS
    next_run = pushed_build("next")
    assert "rollback: removing reviews-v3-" in script(environment, next_run, "deploy.sh")
    assert len(set(environment.deployed_images()) - WORKLOADS) == 1
    assert canary.isdisjoint(environment.deployed_images())
    script(environment, next_run, "rollback.sh")


def test_pending_upgrade_of_a_killed_run_is_undone_by_the_next_run(
    environment: PipelineEnvironment, installed: str, pushed_build: Callable[[str], Path]
) -> None:
    before = environment.deployed_images()
    environment.cluster.failing.add(
        f"registry.invalid/shop/bookinfo-reviews@{fake_digest('bookinfo-reviews', 'stuck')}"
    )
    environ = {**os.environ, **environment.jenkins.environ, "ROLLOUT_TIMEOUT": "2m"}
    workspace = pushed_build("stuck")
    with subprocess.Popen(["jenkins/deploy.sh"], cwd=workspace, env=environ, start_new_session=True) as deploy:
        eventually(lambda: len(environment.deployed_images()) > len(before), within=60)
        os.killpg(deploy.pid, signal.SIGKILL)
    for name in ("canary.sh", "promote.sh"):
        rejected = run_script(environment, workspace, name)
        assert rejected.returncode == 1
        message = (
            "bookinfo in shop is pending-upgrade; wait for the upgrade to end, or undo it with jenkins/rollback.sh all"
        )
        assert rejected.stderr == f"{name[:-3]}: {message}\n"
    next_run = pushed_build("unstuck")
    output = script(environment, next_run, "deploy.sh", PENDING_SECONDS="0")
    assert "rollback: bookinfo in shop is pending-upgrade" in output
    (added,) = environment.deployed_images().keys() - before.keys()
    assert environment.deployed_images()[added].endswith(fake_digest("bookinfo-reviews", "unstuck"))
    assert {workload: environment.deployed_images()[workload] for workload in before} == before
    script(environment, next_run, "rollback.sh")
    assert environment.deployed_images() == before


def test_rollback_keeps_the_canary_of_another_build(
    environment: PipelineEnvironment, installed: str, pushed_build: Callable[[str], Path]
) -> None:
    other = pushed_build("other")
    script(environment, other, "deploy.sh")
    assert "this build has no canary" in script(environment, pushed_build("mine"), "rollback.sh")
    assert len(environment.deployed_images()) == len(WORKLOADS) + 1
    script(environment, other, "rollback.sh")
    assert set(environment.deployed_images()) == WORKLOADS


def test_nothing_is_rolled_out_without_the_parameter(
    environment: PipelineEnvironment, pushed_build: Callable[[str], Path]
) -> None:
    since = len(environment.cluster.changes)
    build = environment.jenkins.build(pushed_build("two"), start_at="Roll out")
    assert build.result == "SUCCESS"
    assert build.stages("skipped") == ["Roll out"]
    assert environment.cluster.changes[since:] == []


def test_other_registry_than_that_of_the_release_is_rejected(
    environment: PipelineEnvironment, installed: str, roll_out: Callable[..., Build]
) -> None:
    before = environment.deployed_images()
    build = roll_out("elsewhere", {"REGISTRY": "elsewhere.invalid/shop/"})
    assert build.result == "FAILURE"
    (line,) = build.lines("release: the release uses the registry registry.invalid/shop")
    assert "elsewhere.invalid/shop/" in line
    assert environment.deployed_images() == before


def test_invalid_canary_steps_are_rejected_before_the_installation(
    environment: PipelineEnvironment, installed: str, pushed_build: Callable[[str], Path]
) -> None:
    before, workspace = environment.deployed_images(), pushed_build("invalid-steps")
    for steps in ("10,twenty", "100", "50,10,100"):
        rejected = run_script(environment, workspace, "deploy.sh", CANARY_STEPS=steps)
        assert rejected.returncode == 1
        message = f"invalid CANARY_STEPS {steps}; use rising percentages that end with 100, such as 10,25,50,100"
        assert rejected.stderr == f"deploy: {message}\n"
    assert environment.deployed_images() == before


def test_helm_3_uses_its_own_rollback_option(
    environment: PipelineEnvironment, pushed_build: Callable[[str], Path], tmp_path: Path
) -> None:
    text = f"""#!/bin/sh
    echo "$*" >>{tmp_path}/calls
    case "$1" in
      version) echo v3.19.0 ;;
      history) echo 'Error: release: not found' >&2; exit 1 ;;
    esac
    """
    write_program(tmp_path / "helm", text)
    script(environment, pushed_build("three"), "deploy.sh", PATH=f"{tmp_path}:{environment.jenkins.environ['PATH']}")
    (upgrade,) = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("upgrade")]
    assert {"--install", "--wait", "--atomic"} <= set(upgrade.split())
    assert "--rollback-on-failure" not in upgrade


def image(environment: PipelineEnvironment, service: str, build: str) -> str:
    """Return the image of a service in a build."""
    return f"{environment.registry}bookinfo-{service}@{fake_digest(f'bookinfo-{service}', build)}"


def run_script(
    environment: PipelineEnvironment, workspace: Path, name: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the pipeline without Jenkins."""
    return subprocess.run(
        [workspace / "jenkins" / name],
        cwd=workspace,
        env={**os.environ, **environment.jenkins.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def script(environment: PipelineEnvironment, workspace: Path, name: str, **environ: str) -> str:
    """Return the output of a script that must succeed."""
    done = run_script(environment, workspace, name, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
