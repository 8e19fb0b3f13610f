"""Every scenario's claims, on real Envoys, with its rules and without."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bookinfo_lab import repository
from bookinfo_lab.scenarios import definitions, pages, verification
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Scenario
from bookinfo_lab.scenarios.runner import Judged, Runner

from .conftest import Bookinfo, eventually

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runner(bookinfo: Bookinfo) -> Iterator[Runner]:
    """Runs scenarios in the module's lab."""
    target = verification.running_lab(bookinfo.lab, bookinfo.env)
    yield Runner(target, Manifests(repository.find(os.environ)), lambda _: None)
    target.restore()


def bad(judged: list[Judged]) -> list[str]:
    return [f"{row.step}: {row.expected}: {row.seen}; without: {row.without}" for row in judged if row.bad]


@pytest.mark.parametrize("scenario", definitions.SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_scenario_shows_what_it_claims(runner: Runner, scenario: Scenario) -> None:
    judged = runner.verify(scenario)
    assert bad(judged) == []
    assert {row.outcome for row in judged} == {"holds"}


@pytest.mark.parametrize("name", ["timeouts", "mirroring", "mutual-tls"])
def test_a_scenario_without_its_rules_fails(runner: Runner, name: str) -> None:
    scenario = definitions.find(name)
    without_rules = replace(scenario, steps=tuple(replace(step, apply=()) for step in scenario.steps))
    proved = sum(len(observation.shows) for step in scenario.steps for observation in step.observations)
    assert len(bad(runner.verify(without_rules))) == proved


def test_verify_restores_what_was_applied(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", str(REPOSITORY / "istio/gateway/destination-rules.yaml"))
    bookinfo("apply", "-f", str(REPOSITORY / "istio/routing/reviews-v3.yaml"))
    before = json.loads(bookinfo("get", "-o", "json"))
    told = bookinfo("verify", "get-started")
    assert "get-started: Get started" in told
    assert "claims in" in told
    after = json.loads(bookinfo("get", "-o", "json"))
    assert sorted(map(json.dumps, after)) == sorted(map(json.dumps, before))
    assert set(bookinfo.versions(10)) == {"v3"}
    bookinfo("reset")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_verify_restores_when_it_is_stopped(bookinfo: Bookinfo, stop: signal.Signals) -> None:
    bookinfo("reset")
    before = json.loads(bookinfo("get", "-o", "json"))
    verifying = bookinfo.start("verify", "request-routing")
    eventually(lambda: len(json.loads(bookinfo("get", "-o", "json"))) > len(before))
    verifying.send_signal(stop)
    assert verifying.wait(timeout=60) != 0
    after = json.loads(bookinfo("get", "-o", "json"))
    assert sorted(map(json.dumps, after)) == sorted(map(json.dumps, before))


def test_a_step_is_shown_and_stays(bookinfo: Bookinfo) -> None:
    told = bookinfo("scenario", "run", "request-routing", "--step", "4")
    assert "all served by reviews-v3" in told
    assert set(bookinfo.versions(10)) == {"v3"}
    bookinfo("reset")


def test_verify_starts_a_lab_of_its_own_where_none_runs(tmp_path: Path) -> None:
    found = json.loads(Bookinfo(tmp_path, "nobody")("verify", "mirroring", "--json"))
    assert found["failed"] == 0
    assert {claim["outcome"] for claim in found["claims"]} == {"holds"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="install curl: the pages' commands use it")
@pytest.mark.parametrize("name", ["get-started", "egress", "metrics"])
def test_the_commands_of_a_page_can_be_typed(bookinfo: Bookinfo, name: str, tmp_path: Path) -> None:
    bookinfo("reset")
    page = pages.page(definitions.find(name)).replace("http://localhost:8080", bookinfo.url)
    blocks = re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if "bookinfo verify" not in line]
    assert any(line.startswith("bookinfo apply") for line in commands)
    program = tmp_path / "bookinfo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bookinfo_lab "$@"\n')
    program.chmod(0o755)
    env = bookinfo.env | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for command in commands:
        typed = subprocess.run(["bash", "-c", command], env=env, cwd=REPOSITORY, capture_output=True, text=True)
        assert typed.stderr == "", command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("verify", "canari"), "there is no scenario 'canari'"),
        (("verify", "canary", "canary"), "a scenario is named twice"),
        (("scenario", "run", "canary", "--step", "9"), "canary has 5 steps"),
        (("scenario", "show", "canari"), "there is no scenario 'canari'"),
    ],
)
def test_a_mistake_is_told_in_one_line(bookinfo: Bookinfo, arguments: tuple[str, ...], told: str) -> None:
    assert told in bookinfo(*arguments, ok=False)


def test_scenarios_are_listed_and_shown(bookinfo: Bookinfo) -> None:
    listed = bookinfo("scenario", "list").splitlines()
    assert [line.split()[0] for line in listed] == [scenario.name for scenario in definitions.SCENARIOS]
    assert "# Canary" in bookinfo("scenario", "show", "canary")


def test_a_certificate_can_be_applied(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", "-", stdin=bookinfo("certificate", "books.example"))
    bookinfo("reset")
