"""The Jenkinsfile, the scripts that it calls, and the runner that executes it in tests."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jenkins.tests.jenkinsfile_builds import ROOT, Build, JenkinsfileRunner, git

from bookinfo_testing.scripts import load_script

TEXT = (ROOT / "Jenkinsfile").read_text()
SCRIPTS = sorted((ROOT / "jenkins").glob("*.sh"))
SH_STEPS = re.findall(r"""sh (?:'([^']+)'|"([^"]+)")""", TEXT)
STEPS = [single or double for single, double in SH_STEPS]

bake_groups = load_script(ROOT / "jenkins/bake_groups.py")


def test_every_step_is_a_make_target_or_a_script() -> None:
    assert len(STEPS) > 15
    for step in STEPS:
        command, *_ = step.split()
        assert re.fullmatch(r"make [a-z]+", step) or (ROOT / command).name in {script.name for script in SCRIPTS}, step


def targets(name: str) -> set[str]:
    """Return a make target and the pytest arguments that `make` would run for it."""
    done = subprocess.run(["make", "--dry-run", "--always-make", name], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name, *re.findall(r"pytest -q ([^\n]*)", done.stdout)}


def test_pipeline_never_runs_its_own_tests() -> None:
    texts = [TEXT, *(script.read_text() for script in SCRIPTS)]
    called_targets = {name for text in texts for name in re.findall(r"^[^#/]*?\bmake ([a-z-]+)", text, re.MULTILINE)}
    called_targets |= {step.split()[1] for step in STEPS if step.startswith("jenkins/tests.sh ")}
    assert {"style", "types", "unit", "contract", "lab", "chart"} <= called_targets
    assert {"test", "pipeline"}.isdisjoint(called_targets)
    assert not [run for name in called_targets for run in targets(name) if "jenkins/tests" in run]


@pytest.mark.parametrize("part", ["test", "pipeline"])
def test_tests_script_rejects_targets_that_run_the_pipeline(part: str) -> None:
    done = subprocess.run(["jenkins/tests.sh", part], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"tests: the pipeline cannot run 'make {part}', because that runs the pipeline\n"


def test_matrix_has_a_cell_for_every_group_of_images() -> None:
    (axis,) = re.findall(r"values ('.*)", TEXT)
    bake = json.loads((ROOT / "docker-bake.json").read_text())
    groups = bake_groups.groups(bake)
    assert re.findall(r"'([^']+)'", axis) == list(groups)
    assert sorted(name for names in groups.values() for name in names) == sorted(bake["group"]["default"]["targets"])


def blocks(text: str) -> dict[str, list[str]]:
    """Return the lines of a Jenkinsfile by their block, such as `pipeline > stages > stage('Push') > steps`."""
    found: dict[str, list[str]] = {}
    open_blocks: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if line == "}":
            open_blocks.pop()
        else:
            found.setdefault(" > ".join(open_blocks), []).append(line)
        if line.endswith("{"):
            open_blocks.append(line.removesuffix("{").strip())
    return found


def timeouts(text: str) -> dict[str, int]:
    """Return the timeouts of a Jenkinsfile in minutes, by their block."""
    found = {}
    for block, lines in blocks(text).items():
        for line in filter(lambda line: line.startswith("timeout("), lines):
            timeout = re.match(r"timeout\(time: (\d+), unit: '(MINUTES|HOURS)'\)", line)
            assert timeout, line
            found[block.removesuffix(" > options")] = int(timeout[1]) * {"MINUTES": 1, "HOURS": 60}[timeout[2]]
    return found


def test_rollback_is_outside_the_timeouts_of_the_rollout() -> None:
    """Jenkins kills everything inside a timeout, including `post`, one minute after it expires."""
    timeout_of = timeouts(TEXT)
    (rollback,) = [block for block in timeout_of if "post" in block]
    stage, _, _ = rollback.partition(" > post")
    inside = [minutes for block, minutes in timeout_of.items() if block.startswith(stage)]
    assert stage not in timeout_of
    assert len(inside) == len(["Deploy", "Smoke", "Canary", "Promote", "rollback"])
    # The timeout of the build is longer than all others plus another rollout, for which this one waits.
    build = timeout_of.pop("pipeline")
    assert build > sum(timeout_of.values()) + sum(inside)


def test_every_stage_with_steps_has_a_timeout() -> None:
    without_timeout = [
        block
        for block in blocks(TEXT)
        if re.search(r"(steps|parallel|matrix)$", block)
        and not any(block.startswith(f"{outer} > ") for outer in timeouts(TEXT) if outer != "pipeline")
    ]
    assert without_timeout == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_strict(script: Path) -> None:
    text = script.read_text()
    if script.name == "lib.sh":
        assert "set -euo pipefail" in text
    else:
        assert re.search(r'^\. "\$\(dirname "(\$0|\$\{BASH_SOURCE\[0\]\})"\)/(lib|release)\.sh"$', text, re.MULTILINE)
    assert os.access(script, os.X_OK) == text.startswith("#!")


def test_shellcheck_has_no_finding() -> None:
    try:
        # The paths that a person would use; .shellcheckrc says where the sourced files are.
        names = [script.relative_to(ROOT) for script in SCRIPTS]
        done = subprocess.run(["shellcheck", "-x", *names], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no shellcheck on PATH; install Debian's package shellcheck")
    assert done.stdout == ""


# --- scripts without Jenkins ------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create a checkout that contains only the scripts."""
    (tmp_path / "jenkins").mkdir()
    for path in (ROOT / "jenkins").glob("*.*"):
        (tmp_path / "jenkins" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "jenkins" / path.name).chmod(path.stat().st_mode)
    (tmp_path / "VERSION").write_text("1.2.3\n")
    (tmp_path / ".gitignore").write_text("build/\n__pycache__/\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Scripts")
    return tmp_path


def script(checkout: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script of jenkins/ in a checkout."""
    environment = {key: value for key, value in os.environ.items() if key not in ("TAG", "REGISTRY", "BRANCH_NAME")}
    return subprocess.run(
        [f"jenkins/{command[0]}", *command[1:]],
        cwd=checkout,
        env={**environment, **environ},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("environ", "tag", "main"),
    [
        ({}, "1.2.3-{commit:.12}", "no"),
        ({"BRANCH_NAME": "main"}, "1.2.3-{commit:.12}", "yes"),
        ({"BRANCH_NAME": "v1.2.3", "TAG_NAME": "v1.2.3"}, "v1.2.3", "no"),
        ({"BRANCH_NAME": "main", "TAG": "mine"}, "mine", "yes"),
    ],
    ids=["by hand", "main", "Git tag", "parameter"],
)
def test_tag_names_the_commit_unless_it_is_set(checkout: Path, environ: dict[str, str], tag: str, main: str) -> None:
    assert script(checkout, "version.sh", **environ).returncode == 0
    commit = git(checkout, "rev-parse", "HEAD")
    expected = f"COMMIT={commit}\nTAG={tag.format(commit=commit)}\nIS_MAIN={main}\n"
    assert (checkout / "build/pipeline/version.env").read_text() == expected


@pytest.mark.parametrize("tag", ["latest", "a b", "-x", "x" * 129])
def test_invalid_tag_is_rejected(checkout: Path, tag: str) -> None:
    done = script(checkout, "version.sh", TAG=tag)
    assert done.returncode == 1
    assert done.stderr.startswith(f"version: invalid TAG '{tag}'")


@pytest.mark.parametrize("name", ["VERSION", "new"])
def test_changed_checkout_is_rejected(checkout: Path, name: str) -> None:
    (checkout / name).write_text("1.2.4\n")
    done = script(checkout, "version.sh")
    assert done.returncode == 1
    assert done.stderr.startswith("version: the checkout differs from commit ")
    assert f"({name}); commit the change first" in done.stderr


def test_script_names_the_missing_step_in_one_line(checkout: Path) -> None:
    for name in ("push.sh", "images.sh"):
        done = script(checkout, name, REGISTRY="registry.example/team")
        assert done.returncode != 0
        assert done.stderr == f"{name[:-3]}: build/pipeline/version.env not found; run jenkins/version.sh first\n"
    done = script(checkout, "push.sh")
    assert done.stderr == "push: REGISTRY is empty; set it to a registry and path such as registry.example/bookinfo/\n"
    for name in ("deploy.sh", "rollback.sh", "coverage.sh", "verify.sh"):
        assert script(checkout, name).stderr == f"{name[:-3]}: .venv not found; run jenkins/setup.sh first\n"


def test_failing_webhook_does_not_fail_the_build(checkout: Path) -> None:
    assert script(checkout, "notify.sh", "SUCCESS").returncode == 0
    done = script(checkout, "notify.sh", "FAILURE", NOTIFY_URL="http://127.0.0.1:1/hook")
    assert done.returncode == 0
    assert "notify: the webhook failed" in done.stdout


FAKE_BUILDX = """#!/bin/sh
echo "docker $*" >>"$CALLS"
case "$*" in
  "buildx imagetools inspect"*:latest*) exit 9 ;;
  "buildx imagetools inspect"*)
    if grep -q -- --push "$CALLS"; then cat "$INSPECTED"; else echo "ERROR: $4: not found" >&2; exit 1; fi ;;
esac
"""


def test_buildkit_builds_archives_and_pushes_the_images(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs = tmp_path_factory.mktemp("programs")
    (programs / "docker").write_text(FAKE_BUILDX)
    (programs / "docker").chmod(0o755)
    bake = {"target": {"bookinfo-details": {"target": "service", "args": {"SERVICE": "details"}}}}
    (checkout / "docker-bake.json").write_text(json.dumps(bake))
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "Images")
    commit, digest = git(checkout, "rev-parse", "HEAD"), "sha256:" + "a" * 64
    labels = {"config": {"Labels": {"org.opencontainers.image.revision": commit}}}
    (programs / "inspected").write_text(json.dumps({"image": {"linux/amd64": labels}, "manifest": {"digest": digest}}))
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CALLS": str(programs / "calls"),
        "INSPECTED": str(programs / "inspected"),
        "BUILDKIT_HOST": "tcp://127.0.0.1:1234",
        "REGISTRY": "registry.example/team",
        "REGISTRY_USER": "pusher",
        "REGISTRY_PASSWORD": "secret",
        "BRANCH_NAME": "main",
    }
    for name in (["version.sh"], ["images.sh", "details"], ["push.sh"]):
        done = script(checkout, *name, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
    calls = (programs / "calls").read_text()
    assert "--set bookinfo-details.output=type=docker,dest=build/images/bookinfo-details.tar" in calls
    assert re.search(r"buildx bake .*--builder bookinfo --push .*bookinfo-details$", calls, re.MULTILINE)
    assert "imagetools create --tag registry.example/team/bookinfo-details:latest" in calls
    assert json.loads((checkout / "build/pipeline/digests.json").read_text()) == {"bookinfo-details": digest}
    assert "secret" not in calls


# --- JenkinsfileRunner.groovy -----------------------------------------------------------------------------------------


def one_stage(body: str) -> str:
    """Return a pipeline with one stage."""
    return f"pipeline {{ agent any\n stages {{ stage('A') {{ {body} }} }} }}"


def run_text(runner: JenkinsfileRunner, directory: Path, text: str, **request: Any) -> Build:
    """Execute the text of a Jenkinsfile in `directory`/workspace."""
    directory.mkdir(exist_ok=True)
    (directory / "Jenkinsfile").write_text(text)
    workspace = str(directory / "workspace")
    return runner.run(directory / "Jenkinsfile", directory / "record", {"workspace": workspace, **request})


INVALID = {
    one_stage("steps { shell 'true' }"): "A: unknown step shell",
    one_stage("steps { sh script: 'true', retries: 2 }"): "A: unsupported arguments of step sh",
    one_stage("steps { junit testResult: '*.xml' }"): "A: unknown argument testResult of step junit",
    one_stage("step { sh 'true' }"): "unknown directive step in stage A",
    one_stage("steps { sh 'true' }\n steps { sh 'true' }"): "duplicate directive steps in stage A",
    one_stage("when { branch 'main' }"): "stage A needs exactly one of steps, stages, parallel, matrix",
    one_stage("when { always() }\n steps { sh 'true' }"): "A: unknown condition always",
    one_stage("steps { sh NOWHERE }"): "A: unknown name NOWHERE",
    one_stage("post { eventually { sh 'true' } }\n steps { sh 'true' }"): "unknown directive eventually in post of A",
    one_stage("steps { sh 'true' "): "startup failed",
    "pipeline { agent any\n options { x() }\n stages { stage('A') { steps { sh 'true' } } } }": "unknown option x",
    "pipeline { stages { stage('A') { steps { sh 'true' } } } }": "a pipeline needs the directive agent",
}


@pytest.mark.parametrize("text", INVALID)
def test_unsupported_syntax_is_invalid(runner: JenkinsfileRunner, tmp_path: Path, text: str) -> None:
    build = run_text(runner, tmp_path, text)
    assert build.result == "INVALID"
    assert INVALID[text] in build.log


def test_timeout_aborts_a_step(runner: JenkinsfileRunner, tmp_path: Path) -> None:
    body = """
    steps { timeout(time: 1, unit: 'SECONDS') { sh 'sleep 60' } }
    post { aborted { sh 'touch aborted' }
           success { sh 'touch success' } }
    """
    build = run_text(runner, tmp_path, one_stage(body))
    assert build.result == "ABORTED"
    assert (tmp_path / "workspace/aborted").exists()
    assert not (tmp_path / "workspace/success").exists()


def test_credentials_are_masked_in_the_log(runner: JenkinsfileRunner, tmp_path: Path) -> None:
    body = """
    steps {
        withCredentials([usernamePassword(credentialsId: 'c', usernameVariable: 'U', passwordVariable: 'P')]) {
            sh 'echo "$U has $P" | tee seen'
        }
        sh 'grep -q "me has hidden" seen; test -z "$P"'
    }
    """
    credentials = {"c": {"username": "me", "password": "hidden"}}
    build = run_text(runner, tmp_path, one_stage(body), credentials=credentials)
    assert build.result == "SUCCESS", build.log
    assert "me has ****" in build.log
    assert "hidden" not in build.log.replace("me has hidden", "")


def test_failed_branch_interrupts_the_other_branches(runner: JenkinsfileRunner, tmp_path: Path) -> None:
    branches = "parallel { stage('B') { steps { sh 'sleep 60' } }\n stage('C') { steps { sh 'false' } } }"
    text = one_stage(branches).replace("agent any", "agent any\n options { parallelsAlwaysFailFast() }")
    build = run_text(runner, tmp_path, text)
    assert build.result == "FAILURE"
    assert build.stages("ABORTED") == ["B"]
    assert build.stages("FAILURE") == ["C", "A"]


STAGE_TIMEOUT = "options { timeout(time: 1, unit: 'SECONDS') }"


@pytest.mark.parametrize(("outer", "inner", "cleaned"), [(STAGE_TIMEOUT, "", False), ("", STAGE_TIMEOUT, True)])
def test_timeout_of_a_stage_also_limits_its_post(
    runner: JenkinsfileRunner, tmp_path: Path, outer: str, inner: str, cleaned: bool
) -> None:
    stages = f"stages {{ stage('B') {{ {inner}\n steps {{ sh 'sleep 60' }} }} }}"
    text = one_stage(f"{outer}\n {stages}\n post {{ unsuccessful {{ sh 'sleep 2; touch cleaned' }} }}")
    build = run_text(runner, tmp_path, text, graceSeconds=1)
    assert build.result == "ABORTED", build.log
    assert (tmp_path / "workspace/cleaned").exists() is cleaned
