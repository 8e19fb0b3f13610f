"""Every scenario's claims, on real Envoys, with its rules and without."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bookinfo_lab import repository
from bookinfo_lab.scenarios import commands, definitions, pages, verification
from bookinfo_lab.scenarios.claims import Between, Counts, CountsEach, Every, No
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.matchers import Answered, Both, Carrying, Matcher, Showing
from bookinfo_lab.scenarios.model import Claim, Scenario
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
def test_a_scenario_without_its_rules_fails(runner: Runner, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookinfo_lab.scenarios.runner.PATIENCE", 2.0)  # what does not come is not waited for
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
@pytest.mark.parametrize("name", ["retries", "circuit-breaking", "egress", "metrics"])
def test_the_commands_of_a_page_show_what_it_claims(bookinfo: Bookinfo, name: str, tmp_path: Path) -> None:
    bookinfo("reset")
    scenario = definitions.find(name)
    page = pages.page(scenario)
    program = tmp_path / "bookinfo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bookinfo_lab "$@"\n')
    program.chmod(0o755)
    env = bookinfo.env | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def typed(command: str) -> str:
        assert f"\n{command}\n" in page
        here = command.replace("http://localhost:8080", bookinfo.url)
        result = subprocess.run(["bash", "-c", here], env=env, cwd=REPOSITORY, capture_output=True, text=True)
        assert result.stderr == "", command
        return result.stdout

    for command in (*commands.change("delete", scenario.without), *commands.change("apply", scenario.given)):
        typed(command)
    for step in scenario.steps:
        for command in (*commands.change("delete", step.delete), *commands.change("apply", step.apply)):
            typed(command)
        for observation in step.observations:
            shown = Shown.of([typed(command) for command in commands.look(observation)])
            for claim in (*observation.shows, *observation.keeps):
                assert shown.bears_out(claim), (step.title, claim.expected, shown)


@dataclass(frozen=True)
class Shown:
    """What a reader sees: how often each status and text came, and by how much numbers grew."""

    counts: dict[str, int]
    growth: list[float]

    @classmethod
    def of(cls, outputs: list[str]) -> "Shown":
        (index, counted) = next((i, text) for i, text in enumerate(outputs) if "status " in text)
        counts = {text: int(number) for number, text in re.findall(r"^ *(\d+) (.+)$", counted, re.MULTILINE)}

        def numbers(texts: list[str]) -> list[float]:
            return [sum(float(line.split()[-1]) for line in text.splitlines()) for text in texts]

        before, after = numbers(outputs[:index]), numbers(outputs[index + 1 :])
        return cls(counts, [later - earlier for earlier, later in zip(before, after, strict=True)])

    def bears_out(self, claim: Claim) -> bool:
        requests = sum(count for text, count in self.counts.items() if text.startswith("status "))
        match claim:
            case Every(matcher):
                return self._matching(matcher) == requests > 0
            case No(matcher):
                return self._matching(matcher) == 0 < requests
            case Between(matcher, low, high):
                return low <= 100 * self._matching(matcher) / requests <= high
            case Counts(_, _, low, high):
                least, most = (requests if bound is None else bound for bound in (low, high))
                return any(least <= grown <= most for grown in self.growth)
            case CountsEach(_, _, matcher):
                return self._matching(matcher) in self.growth
            case _:
                raise NotImplementedError(claim.expected)

    def _matching(self, matcher: Matcher) -> int:
        match matcher:
            case Answered(status):
                wanted = f"status {status}"
            case Both(Answered(status), Carrying(name, value)):
                wanted = f"status {status}, {name}: {value}"
            case Showing(text):
                wanted = text
            case _:
                raise NotImplementedError(matcher.phrase)
        return sum(count for text, count in self.counts.items() if text.startswith(wanted))


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
