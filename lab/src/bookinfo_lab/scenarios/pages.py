"""The scenarios' pages in docs/, made from their definitions."""

from collections.abc import Iterator
from pathlib import Path

from bookinfo_lab.scenarios import commands
from bookinfo_lab.scenarios.definitions import SCENARIOS, file_name
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

FOLDER = "docs/scenarios"
MADE = "<!-- Made by `make docs` from lab/src/bookinfo_lab/scenarios/definitions: change that, not this. -->"

ON_PATH = 'export PATH="$PWD/.venv/bin:$PATH"'
"""Makes `bookinfo` a command of the checkout's terminal."""

TYPE_ALONG = f"""\
Type along in the checkout, with the lab up (`make run`), in a terminal that has been told where `bookinfo` is:
`{ON_PATH}`. If the lab has another port than 8080 (`bookinfo status` tells), write that."""


def page(scenario: Scenario) -> str:
    """A scenario for somebody who learns."""
    return "\n".join(_page(scenario)) + "\n"


def index() -> str:
    """All scenarios, with what each teaches."""
    rows = [
        f"| {number} | [{scenario.title}]({file_name(scenario)}) | {scenario.teaches} |"
        for number, scenario in enumerate(SCENARIOS, 1)
    ]
    return "\n".join([INDEX_HEAD, "| | scenario | what it teaches |", "| --- | --- | --- |", *rows]) + "\n"


INDEX_HEAD = f"""\
{MADE}
# Scenarios

Each is a lesson in steps: what to apply, what to send, and what must be seen then. All run in the lab, with no cluster:
start it with `make run` in one terminal, and type along in another.

```
{ON_PATH}   # once in a terminal: makes `bookinfo` a command
bookinfo scenario run canary            # the whole lesson, proved, and everything as it was afterwards
bookinfo scenario run canary --step 2   # go to step 2 and stay there
bookinfo verify                         # all of them
```

If the lab has another port than 8080 (`make run UP=--gateway-port=8090`; `bookinfo status` tells), write that in the
commands.

What must be seen of many requests the commands count: how often each status and each text came. A text that is not
among them was on no page. Numbers of the proxies stand before and after the requests; what counts is the difference.
The commands need curl 7.84 or newer.

`bookinfo verify` sends each step's traffic twice, with the rule and without it. A claim counts only if it holds with
the rule and does not hold without it; what holds either way is marked as such.

`bookinfo verify --context CONTEXT` does the same in a cluster that runs Bookinfo ([how to make one](../cluster.md)): in
Istio with sidecars or in ambient mode, or without a mesh, where only what the application does by itself is checked. It
touches only objects that a scenario names, none that Helm or another tool manages unless `--take-over` is given, and
waits for each rule by looking at traffic. It puts back exactly what was there, even if it is interrupted; after a kill
or a lost connection the next run does so first. What a cluster does not show is reported as not checked.
"""


def write(folder: Path) -> None:
    """Write all pages, and remove those of scenarios that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _files()
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)


def stale(folder: Path) -> list[str]:
    """The names of pages that are missing, too many, or not what the definitions say."""
    wanted = _files()
    found = {path.name: path.read_text() for path in folder.glob("*.md")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def _files() -> dict[str, str]:
    return {"README.md": index(), **{file_name(scenario): page(scenario) for scenario in SCENARIOS}}


def _page(scenario: Scenario) -> Iterator[str]:
    yield from (MADE, f"# {scenario.title}", "", scenario.teaches, "", TYPE_ALONG, "", scenario.text.strip(), "")
    start = [*commands.change("delete --ignore-not-found", scenario.without), *commands.change("apply", scenario.given)]
    if start:
        yield from ("## Before the first step", "", "```", *start, "```", "")
    for number, step in enumerate(scenario.steps, 1):
        yield from _step(number, step)
    yield from ("## Back to the start", "", "```", "bookinfo reset", "```", "")
    yield from ("Proof, with all of the above:", "", "```", f"bookinfo verify {scenario.name}", "```", "")
    yield from (
        "In a cluster with Istio it is `kubectl apply` and `kubectl delete` instead of `bookinfo apply` and `delete`.",
    )
    if scenario.more:
        yield from ("", scenario.more.strip())


def _step(number: int, step: Step) -> Iterator[str]:
    yield from (f"## {number}. {step.title}", "", step.text.strip(), "")
    changes = [*commands.change("delete", step.delete), *commands.change("apply", step.apply)]
    if changes:
        yield from ("```", *changes, "```", "")
    for observation in step.observations:
        yield from _observation(observation)


def _observation(observation: Observation) -> Iterator[str]:
    yield f"Try it ({observation.traffic}):"
    yield from ("", "```", *commands.sign_in(observation.traffic), *commands.look(observation), "```", "")
    without = "before this step" if observation.against == "before" else "before the first step"
    yield from ("| what must be seen | without the rule |", "| --- | --- |")
    yield from (f"| {claim.expected} | not so {without} |" for claim in observation.shows)
    yield from (f"| {claim.expected} | the same |" for claim in observation.keeps)
    yield ""
