"""Every scenario's claims on real Envoys, with its rules and without."""

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
from bookinfo_lab.scenarios import definitions, documentation, shell_commands, verification
from bookinfo_lab.scenarios.claims import CounterIncrease, CounterMatches, Every, NoneOf, ShareBetween
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.matchers import AllOf, Contains, HasHeader, HasStatus, Matcher
from bookinfo_lab.scenarios.model import Claim, Scenario
from bookinfo_lab.scenarios.runner import ClaimResult, Runner

from .conftest import Bookinfo, eventually

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runner(bookinfo: Bookinfo) -> Iterator[Runner]:
    """Runs scenarios in the module's lab."""
    target = verification.running_lab(bookinfo.lab, bookinfo.env)
    yield Runner(target, Manifests(repository.find(os.environ)), lambda _: None)
    target.restore()


def failures(results: list[ClaimResult]) -> list[str]:
    return [
        f"{row.step}: {row.expected}: {row.observed}; without the rule: {row.observed_without_rule}"
        for row in results
        if row.failed
    ]


@pytest.mark.parametrize("scenario", definitions.SCENARIOS, ids=lambda scenario: scenario.name)
def test_all_claims_of_the_scenario_pass(runner: Runner, scenario: Scenario) -> None:
    results = runner.verify(scenario)
    assert failures(results) == []
    assert {row.outcome for row in results} == {"passed"}


@pytest.mark.parametrize("name", ["timeouts", "mirroring", "mutual-tls"])
def test_all_effects_of_a_scenario_fail_without_its_rules(
    runner: Runner, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bookinfo_lab.scenarios.runner.OBSERVATION_TIMEOUT_SECONDS", 2.0
    )  # the claims fail, so do not wait long
    scenario = definitions.find(name)
    without_rules = replace(scenario, steps=tuple(replace(step, apply=()) for step in scenario.steps))
    effects = sum(len(observation.effects) for step in scenario.steps for observation in step.observations)
    assert len(failures(runner.verify(without_rules))) == effects


def test_verify_restores_the_applied_objects(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", str(REPOSITORY / "istio/gateway/destination-rules.yaml"))
    bookinfo("apply", "-f", str(REPOSITORY / "istio/routing/reviews-v3.yaml"))
    before = json.loads(bookinfo("get", "-o", "json"))
    output = bookinfo("verify", "get-started")
    assert "get-started: Get started" in output
    assert "claims in" in output
    after = json.loads(bookinfo("get", "-o", "json"))
    assert sorted(map(json.dumps, after)) == sorted(map(json.dumps, before))
    assert set(bookinfo.versions(10)) == {"v3"}
    bookinfo("reset")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_verify_restores_the_objects_after_a_signal(bookinfo: Bookinfo, stop: signal.Signals) -> None:
    bookinfo("reset")
    before = json.loads(bookinfo("get", "-o", "json"))
    verifying = bookinfo.start("verify", "request-routing")
    eventually(lambda: len(json.loads(bookinfo("get", "-o", "json"))) > len(before))
    verifying.send_signal(stop)
    assert verifying.wait(timeout=60) != 0
    after = json.loads(bookinfo("get", "-o", "json"))
    assert sorted(map(json.dumps, after)) == sorted(map(json.dumps, before))


def test_step_is_shown_and_its_state_kept(bookinfo: Bookinfo) -> None:
    output = bookinfo("scenario", "run", "request-routing", "--step", "4")
    assert "all: served by reviews-v3" in output
    assert set(bookinfo.versions(10)) == {"v3"}
    bookinfo("reset")


def test_verify_starts_a_temporary_lab_if_none_is_running(tmp_path: Path) -> None:
    report = json.loads(Bookinfo(tmp_path, "absent")("verify", "mirroring", "--json"))
    assert report["failed"] == 0
    assert {claim["outcome"] for claim in report["claims"]} == {"passed"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="install curl: the pages' commands use it")
@pytest.mark.parametrize("name", ["retries", "circuit-breaking", "egress", "metrics"])
def test_commands_of_a_page_show_its_claims(bookinfo: Bookinfo, name: str, tmp_path: Path) -> None:
    bookinfo("reset")
    scenario = definitions.find(name)
    page = documentation.page(scenario)
    program = tmp_path / "bookinfo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bookinfo_lab "$@"\n')
    program.chmod(0o755)
    env = bookinfo.env | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(command: str) -> str:
        assert f"\n{command}\n" in page
        here = command.replace("http://localhost:8080", bookinfo.url)
        result = subprocess.run(["bash", "-c", here], env=env, cwd=REPOSITORY, capture_output=True, text=True)
        assert result.stderr == "", command
        return result.stdout

    for command in (
        *shell_commands.change("delete", scenario.removed),
        *shell_commands.change("apply", scenario.setup),
    ):
        run(command)
    for step in scenario.steps:
        for command in (*shell_commands.change("delete", step.delete), *shell_commands.change("apply", step.apply)):
            run(command)
        for observation in step.observations:
            output = Output.of([run(command) for command in shell_commands.observe(observation)])
            for claim in (*observation.effects, *observation.invariants):
                assert output.satisfies(claim), (step.title, claim.expected, output)


@dataclass(frozen=True)
class Output:
    """The output that a reader sees: the number of each status and text, and the increase of each counter."""

    counts: dict[str, int]
    increases: list[float]

    @classmethod
    def of(cls, outputs: list[str]) -> "Output":
        (index, counts_text) = next((i, text) for i, text in enumerate(outputs) if "status " in text)
        counts = {text: int(number) for number, text in re.findall(r"^ *(\d+) (.+)$", counts_text, re.MULTILINE)}

        def numbers(texts: list[str]) -> list[float]:
            return [sum(float(line.split()[-1]) for line in text.splitlines()) for text in texts]

        before, after = numbers(outputs[:index]), numbers(outputs[index + 1 :])
        return cls(counts, [later - earlier for earlier, later in zip(before, after, strict=True)])

    def satisfies(self, claim: Claim) -> bool:
        requests = sum(count for text, count in self.counts.items() if text.startswith("status "))
        match claim:
            case Every(matcher):
                return self._matching(matcher) == requests > 0
            case NoneOf(matcher):
                return self._matching(matcher) == 0 < requests
            case ShareBetween(matcher, low, high):
                return low <= 100 * self._matching(matcher) / requests <= high
            case CounterIncrease(_, _, low, high):
                minimum, maximum = (requests if bound is None else bound for bound in (low, high))
                return any(minimum <= increase <= maximum for increase in self.increases)
            case CounterMatches(_, _, matcher):
                return self._matching(matcher) in self.increases
            case _:
                raise NotImplementedError(claim.expected)

    def _matching(self, matcher: Matcher) -> int:
        match matcher:
            case HasStatus(status):
                expected = f"status {status}"
            case AllOf(HasStatus(status), HasHeader(name, value)):
                expected = f"status {status}, {name}: {value}"
            case Contains(text):
                expected = text
            case _:
                raise NotImplementedError(matcher.description)
        return sum(count for text, count in self.counts.items() if text.startswith(expected))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("verify", "canari"), "scenario 'canari' not found"),
        (("verify", "canary", "canary"), "a scenario is named twice"),
        (("scenario", "run", "canary", "--step", "9"), "canary has 5 steps"),
        (("scenario", "show", "canari"), "scenario 'canari' not found"),
    ],
)
def test_invalid_arguments_are_reported(bookinfo: Bookinfo, arguments: tuple[str, ...], error: str) -> None:
    assert error in bookinfo(*arguments, ok=False)


def test_scenarios_are_listed_and_shown(bookinfo: Bookinfo) -> None:
    listed = bookinfo("scenario", "list").splitlines()
    assert [line.split()[0] for line in listed] == [scenario.name for scenario in definitions.SCENARIOS]
    assert "# Canary" in bookinfo("scenario", "show", "canary")


def test_a_certificate_can_be_applied(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", "-", stdin=bookinfo("certificate", "books.example"))
    bookinfo("reset")
