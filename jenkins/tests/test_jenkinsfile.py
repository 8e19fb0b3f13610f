"""What the Jenkinsfile says, and what the harness makes of what a Jenkinsfile must not say."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jenkins.tests import jenkins
from jenkins.tests.jenkins import ROOT, Build

from bookinfo_testing.scripts import load_script

TEXT = (ROOT / "Jenkinsfile").read_text()
SCRIPTS = sorted((ROOT / "jenkins").glob("*.sh"))
CALLED = re.findall(r"""sh (?:'([^']+)'|"([^"]+)")""", TEXT)
STEPS = [single or double for single, double in CALLED]

JVM = "--javaoptions=-Xmx512m,-XX:TieredStopAtLevel=1,-XX:+UseSerialGC"
"""The compiler that starts fast: the linter is over before the better one has paid."""

bake_groups = load_script(ROOT / "jenkins/bake_groups.py")


def test_npm_groovy_lint_finds_nothing(groovy: None) -> None:
    program = ROOT / ".venv/groovy/node_modules/.bin/npm-groovy-lint"
    configuration = Path(__file__).parent / "groovy/.groovylintrc.json"
    done = subprocess.run(
        [program, "--noserver", JVM, "--failon", "info", "--config", configuration, "Jenkinsfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_step_is_one_make_target_or_one_script() -> None:
    assert len(STEPS) > 15
    for step in STEPS:
        command, *_ = step.split()
        assert re.fullmatch(r"make [a-z]+", step) or (ROOT / command).name in {script.name for script in SCRIPTS}, step


def targets(name: str) -> set[str]:
    """The make targets that one leads to, by what `make` itself would run."""
    done = subprocess.run(["make", "--dry-run", "--always-make", name], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name, *re.findall(r"pytest -q ([^\n]*)", done.stdout)}


def test_the_pipeline_never_runs_its_own_tests() -> None:
    texts = [TEXT, *(script.read_text() for script in SCRIPTS)]
    called = {name for text in texts for name in re.findall(r"^[^#/]*?\bmake ([a-z-]+)", text, re.MULTILINE)}
    called |= {step.split()[1] for step in STEPS if step.startswith("jenkins/tests.sh ")}
    assert {"style", "types", "unit", "contract", "lab", "chart"} <= called
    assert {"test", "pipeline"}.isdisjoint(called)
    assert not [run for name in called for run in targets(name) if "jenkins/tests" in run]


@pytest.mark.parametrize("part", ["test", "pipeline"])
def test_the_script_that_runs_tests_refuses_those_that_run_the_pipeline(part: str) -> None:
    done = subprocess.run(["jenkins/tests.sh", part], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"tests: not from the pipeline: 'make {part}' runs the pipeline\n"


def test_the_matrix_has_a_cell_for_every_group_of_docker_bake_json() -> None:
    (axis,) = re.findall(r"values ('.*)", TEXT)
    bake = json.loads((ROOT / "docker-bake.json").read_text())
    groups = bake_groups.groups(bake)
    assert re.findall(r"'([^']+)'", axis) == list(groups)
    assert sorted(name for names in groups.values() for name in names) == sorted(bake["group"]["default"]["targets"])


def blocks(text: str) -> dict[str, list[str]]:
    """The lines of a Jenkinsfile by the blocks around them: `pipeline > stages > stage('Push') > steps`."""
    found: dict[str, list[str]] = {}
    around: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if line == "}":
            around.pop()
        else:
            found.setdefault(" > ".join(around), []).append(line)
        if line.endswith("{"):
            around.append(line.removesuffix("{").strip())
    return found


def limits(text: str) -> dict[str, int]:
    """The time limits of a Jenkinsfile in minutes, by the block that each is for."""
    found = {}
    for block, lines in blocks(text).items():
        for line in filter(lambda line: line.startswith("timeout("), lines):
            limit = re.match(r"timeout\(time: (\d+), unit: '(MINUTES|HOURS)'\)", line)
            assert limit, line
            found[block.removesuffix(" > options")] = int(limit[1]) * {"MINUTES": 1, "HOURS": 60}[limit[2]]
    return found


def test_a_time_limit_that_is_over_leaves_the_rollback_its_time() -> None:
    """What stands in a time limit, `post` too, has one minute more when it is over."""
    limited = limits(TEXT)
    (rollback,) = [block for block in limited if "post" in block]
    stage, _, _ = rollback.partition(" > post")
    inside = [limit for block, limit in limited.items() if block.startswith(stage)]
    assert stage not in limited
    assert len(inside) == len(["Deploy", "Smoke", "Canary", "Promote", "and the rollback"])
    # Nor is it ever that of the whole build: it outlasts all others, and another rollout that is waited for.
    whole = limited.pop("pipeline")
    assert whole > sum(limited.values()) + sum(inside)


def test_every_stage_with_work_has_a_time_limit() -> None:
    unlimited = [
        block
        for block in blocks(TEXT)
        if re.search(r"(steps|parallel|matrix)$", block)
        and not any(block.startswith(f"{limited} > ") for limited in limits(TEXT) if limited != "pipeline")
    ]
    assert unlimited == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_strict(script: Path) -> None:
    text = script.read_text()
    if script.name == "lib.sh":
        assert "set -euo pipefail" in text
    else:
        assert re.search(r'^\. "\$\(dirname "(\$0|\$\{BASH_SOURCE\[0\]\})"\)/(lib|release)\.sh"$', text, re.MULTILINE)
    assert os.access(script, os.X_OK) == text.startswith("#!")


def test_shellcheck_finds_nothing() -> None:
    try:
        # From where a person calls it, without a word about where the scripts' sources are.
        names = [script.relative_to(ROOT) for script in SCRIPTS]
        done = subprocess.run(["shellcheck", "-x", *names], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no shellcheck on PATH: install Debian's package shellcheck")
    assert done.stdout == ""


# --- scripts by hand --------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the scripts alone."""
    (tmp_path / "jenkins").mkdir()
    for path in (ROOT / "jenkins").glob("*.*"):
        (tmp_path / "jenkins" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "jenkins" / path.name).chmod(path.stat().st_mode)
    (tmp_path / "VERSION").write_text("1.2.3\n")
    (tmp_path / ".gitignore").write_text("build/\n__pycache__/\n")
    jenkins.git(tmp_path, "init", "--quiet", "--initial-branch=main")
    jenkins.git(tmp_path, "add", "--all")
    jenkins.git(tmp_path, "commit", "--quiet", "--message", "Scripts")
    return tmp_path


def script(checkout: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
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
    ids=["by hand", "main", "a tag", "by parameter"],
)
def test_images_get_a_tag_that_names_the_commit_unless_one_is_given(
    checkout: Path, environ: dict[str, str], tag: str, main: str
) -> None:
    assert script(checkout, "version.sh", **environ).returncode == 0
    commit = jenkins.git(checkout, "rev-parse", "HEAD")
    expected = f"COMMIT={commit}\nTAG={tag.format(commit=commit)}\nIS_MAIN={main}\n"
    assert (checkout / "build/pipeline/version.env").read_text() == expected


@pytest.mark.parametrize("tag", ["latest", "a b", "-x", "x" * 129])
def test_a_tag_that_is_none_or_that_the_pipeline_moves_is_refused(checkout: Path, tag: str) -> None:
    done = script(checkout, "version.sh", TAG=tag)
    assert done.returncode == 1
    assert done.stderr.startswith(f"version: TAG '{tag}' is ")


@pytest.mark.parametrize("name", ["VERSION", "new"])
def test_a_changed_checkout_has_no_version(checkout: Path, name: str) -> None:
    (checkout / name).write_text("1.2.4\n")
    done = script(checkout, "version.sh")
    assert done.returncode == 1
    assert done.stderr.startswith(f"version: the checkout is changed ({name})")


def test_every_script_says_in_one_line_what_has_to_be_done_first(checkout: Path) -> None:
    for name in ("push.sh", "images.sh"):
        done = script(checkout, name, REGISTRY="registry.example/team")
        assert done.returncode != 0
        assert done.stderr == f"{name[:-3]}: there is no build/pipeline/version.env: run jenkins/version.sh first\n"
    done = script(checkout, "push.sh")
    assert done.stderr == "push: REGISTRY is empty: set it to registry and path, such as registry.example/bookinfo/\n"
    for name in ("deploy.sh", "rollback.sh", "coverage.sh", "verify.sh"):
        assert script(checkout, name).stderr == f"{name[:-3]}: there is no .venv: run jenkins/setup.sh first\n"


def test_a_webhook_that_does_not_answer_fails_no_build(checkout: Path) -> None:
    assert script(checkout, "notify.sh", "SUCCESS").returncode == 0
    done = script(checkout, "notify.sh", "FAILURE", NOTIFY_URL="http://127.0.0.1:1/hook")
    assert done.returncode == 0
    assert "notify: the webhook did not take it" in done.stdout


BUILDX = """#!/bin/sh
echo "docker $*" >>"$CALLS"
case "$*" in
  "buildx imagetools inspect"*:latest*) exit 9 ;;
  "buildx imagetools inspect"*)
    if grep -q -- --push "$CALLS"; then cat "$FOUND"; else echo "ERROR: $4: not found" >&2; exit 1; fi ;;
esac
"""


def test_with_buildkit_the_same_images_are_built_into_archives_pushed_and_recorded(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "docker").write_text(BUILDX)
    (folder / "docker").chmod(0o755)
    one = {"target": {"bookinfo-details": {"target": "service", "args": {"SERVICE": "details"}}}}
    (checkout / "docker-bake.json").write_text(json.dumps(one))
    jenkins.git(checkout, "add", "--all")
    jenkins.git(checkout, "commit", "--quiet", "--message", "Images")
    commit, digest = jenkins.git(checkout, "rev-parse", "HEAD"), "sha256:" + "a" * 64
    labels = {"config": {"Labels": {"org.opencontainers.image.revision": commit}}}
    (folder / "found").write_text(json.dumps({"image": {"linux/amd64": labels}, "manifest": {"digest": digest}}))
    environ = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "FOUND": str(folder / "found"),
        "BUILDKIT_HOST": "tcp://127.0.0.1:1234",
        "REGISTRY": "registry.example/team",
        "REGISTRY_USER": "pusher",
        "REGISTRY_PASSWORD": "secret",
        "BRANCH_NAME": "main",
    }
    for name in (["version.sh"], ["images.sh", "details"], ["push.sh"]):
        done = script(checkout, *name, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
    calls = (folder / "calls").read_text()
    assert "--set bookinfo-details.output=type=docker,dest=build/images/bookinfo-details.tar" in calls
    assert re.search(r"buildx bake .*--builder bookinfo --push .*bookinfo-details$", calls, re.MULTILINE)
    assert "imagetools create --tag registry.example/team/bookinfo-details:latest" in calls
    assert json.loads((checkout / "build/pipeline/digests.json").read_text()) == {"bookinfo-details": digest}
    assert "secret" not in calls


# --- the harness ------------------------------------------------------------------------------------------------------


def asked(folder: Path, body: str, **given: Any) -> tuple[Path, Path]:
    """A folder with a pipeline of these stages, and the record of what becomes of it."""
    for name in ("record", "workspace"):
        (folder / name).mkdir(parents=True)
    paths = {"workspace": str(folder / "workspace"), "record": str(folder / "record")}
    run = {**paths, "params": {}, "env": {}, "credentials": {}, **given}
    (folder / "record/run.json").write_text(json.dumps(run))
    (folder / "Jenkinsfile").write_text(body)
    return folder / "record", folder / "Jenkinsfile"


def judged(tmp_path: Path, body: str, **given: Any) -> Build:
    """What the harness makes of a pipeline with these stages."""
    record, jenkinsfile = asked(tmp_path, body, **given)
    return jenkins.run(jenkinsfile, record)


def one_stage(body: str) -> str:
    return f"pipeline {{ agent any\n stages {{ stage('A') {{ {body} }} }} }}"


UNKNOWN = {
    one_stage("steps { shell 'true' }"): "unknown step shell",
    one_stage("steps { sh script: 'true', retries: 2 }"): "sh: unknown parameter retries",
    one_stage("step { sh 'true' }"): "unknown step in stage A",
    one_stage("when { branch 'main' }"): "needs one of steps, stages, parallel, matrix",
    one_stage("when { always() }\n steps { sh 'true' }"): "unknown condition always",
    one_stage("steps { echo NOWHERE }"): "there is no NOWHERE",
    one_stage("post { eventually { sh 'true' } }\n steps { sh 'true' }"): "unknown condition eventually of post",
    "pipeline { agent any\n options { x() }\n stages { stage('A') { steps { sh 'true' } } } }": "unknown option x",
    "pipeline { stages { stage('A') { steps { sh 'true' } } } }": "a pipeline needs agent",
}


@pytest.fixture(scope="module")
def refused(groovy: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Build]:
    """What the harness makes of each, by its text. One JVM is enough for all."""
    folder = tmp_path_factory.mktemp("unknown")
    records = dict(asked(folder / str(number), text) for number, text in enumerate(UNKNOWN))
    return dict(zip(UNKNOWN, jenkins.run_all(records), strict=True))


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_the_harness_does_not_know_is_an_error(refused: dict[str, Build], text: str) -> None:
    assert refused[text].code == 2
    (event,) = [event for event in refused[text].events if event["event"] == "invalid"]
    assert UNKNOWN[text] in event["message"]


def test_a_step_is_retried_timed_out_and_has_credentials_that_no_log_shows(groovy: None, tmp_path: Path) -> None:
    body = """
    steps {
        retry(3) { sh 'echo x >>tries; test $(wc -l <tries) -eq 3' }
        withCredentials([usernamePassword(credentialsId: 'c', usernameVariable: 'U', passwordVariable: 'P')]) {
            sh 'echo "$U has $P" | tee seen'
        }
        stash name: 's', includes: 'seen'
        sh 'rm seen'
        unstash 's'
        sh 'grep -q "me has hidden" seen'
        timeout(time: 1, unit: 'SECONDS') { sh 'sleep 60' }
    }
    post { aborted { sh 'touch aborted' }
           success { sh 'touch success' } }
    """
    build = judged(tmp_path, one_stage(body), credentials={"c": {"username": "me", "password": "hidden"}})
    assert build.result == "ABORTED"
    assert build.code == 3
    assert "me has ****" in build.log
    assert "hidden" not in build.log
    assert (tmp_path / "workspace/aborted").exists()
    assert not (tmp_path / "workspace/success").exists()


def limited(options: str, inner: str) -> str:
    """A stage whose work takes a minute, and whose post two seconds."""
    stages = f"stages {{ stage('B') {{ {inner}\n steps {{ sh 'sleep 60' }} }} }}"
    return one_stage(f"{options}\n {stages}\n post {{ unsuccessful {{ sh 'sleep 2; touch cleaned' }} }}")


LIMITED = "options { timeout(time: 1, unit: 'SECONDS') }"


@pytest.mark.parametrize(("options", "inner", "cleaned"), [(LIMITED, "", False), ("", LIMITED, True)])
def test_a_time_limit_around_a_stage_is_one_of_its_post_too(
    groovy: None, tmp_path: Path, options: str, inner: str, cleaned: bool
) -> None:
    build = judged(tmp_path, limited(options, inner), grace=1)
    assert build.result == "ABORTED", build.log
    assert (tmp_path / "workspace/cleaned").exists() is cleaned
