"""The stage "Roll out" of the Jenkinsfile: a real Helm and the real controller, on a fake API server."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from jenkins.tests.conftest import Site, digest, with_pushed
from jenkins.tests.jenkins import Build, git

from bookinfo_testing.polling import eventually
from bookinfo_testing.scripts import write_program

WORKLOADS = {"productpage-v1", "details-v1", "reviews-v3", "ratings-v1"}


@pytest.fixture
def pushed(site: Site) -> Callable[[str], Path]:
    """A checkout of a build whose images are pushed: what the stages before leave for this one."""

    return lambda build: with_pushed(site.jenkins.checkout(build), build)


@pytest.fixture
def roll_out(site: Site, pushed: Callable[[str], Path], tmp_path: Path) -> Callable[..., Build]:
    """Rolls a build out by the Jenkinsfile. Smoke tests take as long as all the rest: they run where they are meant."""
    (tmp_path / "untested.yaml").write_text("tests: {enabled: false}\n")
    untested = {"VALUES": f"jenkins/release.yaml {tmp_path}/untested.yaml"}

    def build(
        name: str,
        params: Mapping[str, str] | None = None,
        abort: Path | None = None,
        limits: Mapping[str, int] | None = None,
        *,
        smoke: bool = False,
        **environ: str,
    ) -> Build:
        site.calls.unlink(missing_ok=True)
        given = {"DEPLOY": True, **({} if smoke else untested), **(params or {})}
        return site.jenkins.build(
            pushed(name), given, start_at="Roll out", abort=abort, limits=limits, timeout=300, **environ
        )

    return build


@pytest.fixture
def installed(site: Site, roll_out: Callable[..., Build]) -> str:
    """The name of the build that every workload runs."""
    site.metrics.canary_fails = False
    site.cluster.failing.clear()
    if not site.cluster.objects_of("Deployment"):
        first = roll_out("one")
        assert first.result == "SUCCESS", first.log
    return next(build for build in ("one", "two") if everything_runs(site, build))


@pytest.fixture
def another(installed: str) -> str:
    """The name of a build that may be the one of every workload next."""
    return {"one": "two", "two": "one"}[installed]


def when(happened: Callable[[], bool], act: Callable[[], object]) -> None:
    """Do something as soon as something happened, beside the test."""

    def wait() -> None:
        eventually(happened, within=120)
        act()

    threading.Thread(target=wait, daemon=True).start()


def everything_runs(site: Site, build: str) -> bool:
    """Whether the release is what `build` is, without a canary."""
    return site.images() == {
        workload: f"registry.invalid/shop/bookinfo-{name}@{digest(f'bookinfo-{name}', build)}"
        for workload, name in ((workload, workload.partition("-")[0]) for workload in WORKLOADS)
    }


def test_the_first_build_is_installed_whole_and_proved_and_there_is_no_canary(
    site: Site, roll_out: Callable[..., Build]
) -> None:
    build = roll_out("one", smoke=True)
    assert build.result == "SUCCESS", build.log
    assert everything_runs(site, "one")
    assert site.called("helm", "test")
    assert build.lines("TEST SUITE:     bookinfo-test-gateway")
    assert build.lines("canary: there is no canary")
    assert build.lines("promote: there is no canary")
    assert site.weights() == {}


def test_a_build_stands_beside_the_stable_version_at_weight_0_and_all_else_keeps_its_digest(
    site: Site, installed: str, pushed: Callable[[str], Path]
) -> None:
    workspace = pushed("beside")
    before = site.images()
    script(site, workspace, "deploy.sh")
    (added,) = site.images().keys() - before.keys()
    name = f"v3-{git(workspace, 'rev-parse', 'HEAD')[:12]}"
    assert added == f"reviews-{name}"
    assert {workload: site.images()[workload] for workload in before} == before
    assert site.images()[added].endswith(digest("bookinfo-reviews", "beside"))
    canary = site.cluster.objects_of("Deployment")[added]["spec"]["template"]
    assert canary["metadata"]["labels"]["version"] == name
    (container,) = canary["spec"]["containers"]
    assert {"name": "VERSION", "value": "v3"} in container["env"]
    assert site.weights() == {"v3": 100}
    script(site, workspace, "rollback.sh")
    assert site.images() == before


def test_a_good_build_gets_its_steps_and_then_is_every_workload(
    site: Site, installed: str, roll_out: Callable[..., Build]
) -> None:
    site.calls.unlink(missing_ok=True)
    since = len(site.cluster.changes)
    build = roll_out("two", {"CANARY_STEPS": "30,100"}, smoke=True)
    assert build.result == "SUCCESS", build.log
    assert build.stages("SUCCESS") == ["Deploy", "Smoke", "Canary", "Promote", "Roll out"]
    assert everything_runs(site, "two")
    assert site.weights() == {"v3": 100}
    # Stable alone, then the steps; stable again once it runs the same, and only then the canary goes.
    done = [change for change in site.cluster.changes[since:] if change[1] in ("VirtualService", "Deployment")]
    routes = [position for position, change in enumerate(done) if change[1] == "VirtualService"]
    (_, full, back) = routes[-3:]
    assert done[routes[-3] - 1][:2] == ("create", "Deployment")
    assert {change[2] for change in done[full + 1 : back]} >= WORKLOADS
    assert [change[0] for change in done[back + 1 :]] == ["delete"]


@pytest.mark.parametrize(("image", "stage"), [("reviews", "Deploy"), ("productpage", "Promote")])
def test_where_a_new_pod_does_not_come_up_everything_is_as_it_was(
    site: Site, installed: str, roll_out: Callable[..., Build], image: str, stage: str
) -> None:
    before = site.images()
    site.cluster.failing.add(f"registry.invalid/shop/bookinfo-{image}@{digest(f'bookinfo-{image}', f'broken-{image}')}")
    build = roll_out(f"broken-{image}", {"CANARY_STEPS": "30,100"})
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == [stage, "Roll out"]
    assert all({"--wait", "--rollback-on-failure"} <= set(call) for call in site.called("helm", "upgrade"))
    assert site.images() == before
    assert site.weights() == {"v3": 100}


def test_a_bad_build_is_rolled_back_at_its_first_step(
    site: Site, installed: str, roll_out: Callable[..., Build]
) -> None:
    site.metrics.canary_fails = True
    before = site.images()
    build = roll_out("bad")
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == ["Canary", "Roll out"]
    assert site.images() == before
    assert site.weights() == {"v3": 100}
    assert "Promote" not in build.stages("started")


def test_a_failed_smoke_test_rolls_back_before_any_traffic(
    site: Site, installed: str, roll_out: Callable[..., Build]
) -> None:
    site.cluster.failing.add("bookinfo-test-edges")
    before = site.images()
    build = roll_out("smoking", smoke=True)
    assert build.result == "FAILURE"
    assert build.stages("FAILURE") == ["Smoke", "Roll out"]
    assert build.lines("[pod/bookinfo-test-edges/probe] refused: reviews")
    assert site.images() == before
    assert site.weights() == {"v3": 100}


def test_an_abort_in_the_canary_restores_the_route_and_takes_the_build_away(
    site: Site, installed: str, roll_out: Callable[..., Build], tmp_path: Path
) -> None:
    before = site.images()
    site.metrics.queried.clear()
    # Somebody stops the build while the canary has traffic.
    when(site.metrics.queried.is_set, (tmp_path / "abort").touch)
    build = roll_out("aborted", {"CANARY_STEPS": "10,20,30,40,50,60,70,80,90,100"}, tmp_path / "abort")
    assert build.result == "ABORTED", build.log
    assert build.code == 3
    assert build.stages("ABORTED") == ["Canary", "Roll out"]
    assert site.images() == before
    assert site.weights() == {"v3": 100}


def test_a_step_whose_time_is_over_is_taken_back_as_well(
    site: Site, installed: str, roll_out: Callable[..., Build]
) -> None:
    before = site.images()
    build = roll_out("endless", {"CANARY_STEPS": "10,20,30,40,50,60,70,80,90,100"}, limits={"Canary": 4})
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Canary", "Roll out"]
    assert site.images() == before
    assert site.weights() == {"v3": 100}


# Until the promotion's first upgrade is done the stable build serves again; from then on it is the promoted one.


def test_an_abort_while_the_rest_is_upgraded_restores_the_stable_build(
    site: Site, installed: str, roll_out: Callable[..., Build], tmp_path: Path
) -> None:
    before = site.images()
    # Helm waits for productpage's pods in vain; the service of the canary has its new image already.
    site.cluster.failing.add(image(site, "productpage", "halted"))
    when(lambda: site.images()["reviews-v3"] == image(site, "reviews", "halted"), (tmp_path / "abort").touch)
    build = roll_out("halted", {"CANARY_STEPS": "30,100"}, tmp_path / "abort", ROLLOUT_TIMEOUT="2m")
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Promote", "Roll out"]
    assert site.images() == before
    assert site.weights() == {"v3": 100}


def test_an_abort_while_the_canary_is_removed_keeps_the_promoted_build_and_removes_it(
    site: Site, installed: str, another: str, roll_out: Callable[..., Build], tmp_path: Path
) -> None:
    promoted = image(site, "reviews", another)

    def never_ready() -> None:
        # Nothing else holds Helm up once the canary is gone.
        site.cluster.failing.add(image(site, "productpage", another))
        when(lambda: set(site.images()) == WORKLOADS, abort)

    def abort() -> None:
        site.cluster.failing.clear()  # for whoever installs it from now on
        (tmp_path / "abort").touch()

    when(lambda: site.images()["reviews-v3"] == promoted and site.weights() == {"v3": 100}, never_ready)
    build = roll_out(another, {"CANARY_STEPS": "30,100"}, tmp_path / "abort", ROLLOUT_TIMEOUT="2m")
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Promote", "Roll out"]
    assert everything_runs(site, another)
    assert site.weights() == {"v3": 100}


def test_an_abort_that_helm_does_not_notice_is_undone_once_helm_is_done(
    site: Site,
    installed: str,
    another: str,
    roll_out: Callable[..., Build],
    tmp_path: Path,
) -> None:
    # The second upgrade, that of everything, is about to begin: nothing in the cluster tells of it yet.
    text = f"""#!/bin/sh
    [ "$1" != upgrade ] || echo upgrade >>{tmp_path}/upgrades
    if [ "$1" = upgrade ] && [ "$(wc -l <{tmp_path}/upgrades)" -eq 2 ]; then
      trap '' TERM
      touch {tmp_path}/abort
      sleep 3
    fi
    exec {site.programs}/helm "$@"
    """
    write_program(tmp_path / "helm", text)
    path = f"{tmp_path}:{site.jenkins.environ['PATH']}"
    build = roll_out(another, {"CANARY_STEPS": "30,100"}, tmp_path / "abort", PATH=path)
    assert build.result == "ABORTED", build.log
    assert build.stages("ABORTED") == ["Promote", "Roll out"]
    assert everything_runs(site, another)
    assert site.weights() == {"v3": 100}


def test_a_canary_that_a_killed_run_left_goes_before_the_next_one(
    site: Site, installed: str, pushed: Callable[[str], Path]
) -> None:
    script(site, pushed("killed"), "deploy.sh")
    left = set(site.images()) - WORKLOADS
    following = pushed("next")
    assert "rollback: taking reviews-v3-" in script(site, following, "deploy.sh")
    assert len(set(site.images()) - WORKLOADS) == 1
    assert left.isdisjoint(site.images())
    script(site, following, "rollback.sh")


def test_an_upgrade_that_a_killed_run_left_pending_is_undone_before_the_next_one(
    site: Site, installed: str, pushed: Callable[[str], Path]
) -> None:
    before = site.images()
    site.cluster.failing.add(f"registry.invalid/shop/bookinfo-reviews@{digest('bookinfo-reviews', 'stuck')}")
    environ = {**os.environ, **site.jenkins.environ, "ROLLOUT_TIMEOUT": "2m"}
    workspace = pushed("stuck")
    with subprocess.Popen(["jenkins/deploy.sh"], cwd=workspace, env=environ, start_new_session=True) as deploy:
        eventually(lambda: len(site.images()) > len(before), within=60)
        os.killpg(deploy.pid, signal.SIGKILL)
    for name in ("canary.sh", "promote.sh"):
        refused = run_script(site, workspace, name)
        assert refused.returncode == 1
        told = (
            "bookinfo in shop is pending-upgrade: wait for whoever upgrades it, or undo it with jenkins/rollback.sh all"
        )
        assert refused.stderr == f"{name[:-3]}: {told}\n"
    following = pushed("unstuck")
    said = script(site, following, "deploy.sh", PENDING_SECONDS="0")
    assert "rollback: bookinfo in shop is pending-upgrade" in said
    (added,) = site.images().keys() - before.keys()
    assert site.images()[added].endswith(digest("bookinfo-reviews", "unstuck"))
    assert {workload: site.images()[workload] for workload in before} == before
    script(site, following, "rollback.sh")
    assert site.images() == before


def test_a_rollback_of_a_build_without_a_canary_leaves_that_of_another_alone(
    site: Site, installed: str, pushed: Callable[[str], Path]
) -> None:
    other = pushed("other")
    script(site, other, "deploy.sh")
    assert "this build has no canary" in script(site, pushed("mine"), "rollback.sh")
    assert len(site.images()) == len(WORKLOADS) + 1
    script(site, other, "rollback.sh")
    assert set(site.images()) == WORKLOADS


def test_without_the_parameter_nothing_is_rolled_out(site: Site, pushed: Callable[[str], Path]) -> None:
    since = len(site.cluster.changes)
    build = site.jenkins.build(pushed("two"), start_at="Roll out")
    assert build.result == "SUCCESS"
    assert build.stages("skipped") == ["Roll out"]
    assert site.cluster.changes[since:] == []


def test_another_registry_than_the_releases_is_refused(
    site: Site, installed: str, roll_out: Callable[..., Build]
) -> None:
    before = site.images()
    build = roll_out("elsewhere", {"REGISTRY": "elsewhere.invalid/shop/"})
    assert build.result == "FAILURE"
    (line,) = build.lines("release: the release takes its images from registry.invalid/shop")
    assert "elsewhere.invalid/shop/" in line
    assert site.images() == before


def test_steps_that_are_none_are_told_before_anything_is_installed(
    site: Site, installed: str, pushed: Callable[[str], Path]
) -> None:
    before, workspace = site.images(), pushed("unasked")
    for steps in ("10,twenty", "100", "50,10,100"):
        refused = run_script(site, workspace, "deploy.sh", CANARY_STEPS=steps)
        assert refused.returncode == 1
        told = f"CANARY_STEPS is {steps}: write percentages that rise to 100, such as 10,25,50,100"
        assert refused.stderr == f"deploy: {told}\n"
    assert site.images() == before


def test_helm_3_goes_back_by_the_name_that_it_has_for_it(
    site: Site, pushed: Callable[[str], Path], tmp_path: Path
) -> None:
    text = f"""#!/bin/sh
    echo "$*" >>{tmp_path}/calls
    case "$1" in
      version) echo v3.19.0 ;;
      history) echo 'Error: release: not found' >&2; exit 1 ;;
    esac
    """
    write_program(tmp_path / "helm", text)
    script(site, pushed("three"), "deploy.sh", PATH=f"{tmp_path}:{site.jenkins.environ['PATH']}")
    (upgrade,) = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("upgrade")]
    assert {"--install", "--wait", "--atomic"} <= set(upgrade.split())
    assert "--rollback-on-failure" not in upgrade


def image(site: Site, service: str, build: str) -> str:
    """The image of a service, as a build pushed it."""
    return f"{site.registry}bookinfo-{service}@{digest(f'bookinfo-{service}', build)}"


def run_script(site: Site, workspace: Path, name: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A script of the pipeline, run by hand."""
    return subprocess.run(
        [workspace / "jenkins" / name],
        cwd=workspace,
        env={**os.environ, **site.jenkins.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def script(site: Site, workspace: Path, name: str, **environ: str) -> str:
    """What a script of the pipeline prints that succeeds."""
    done = run_script(site, workspace, name, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
