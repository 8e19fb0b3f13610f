"""`bookinfo scenario`, `bookinfo verify`, `bookinfo certificate`."""

import contextlib
import os
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bookinfo_lab.cli.options import VERIFY, JsonOption, LabOption

if TYPE_CHECKING:
    from bookinfo_lab.scenarios.model import Scenario
    from bookinfo_lab.scenarios.runner import ClaimResult
    from bookinfo_lab.scenarios.target import Target


NameArgument = Annotated[str, typer.Argument(help="A scenario; `bookinfo scenario list` shows them.")]

scenario_app = typer.Typer(help="List, show and run the scenarios.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(scenario_app, name="scenario", rich_help_panel=VERIFY)
    app.command(rich_help_panel=VERIFY)(verify)
    app.command(rich_help_panel=VERIFY)(certificate)


@scenario_app.command("list")
def list_scenarios() -> None:
    """List the scenarios in learning order."""
    from bookinfo_lab.scenarios.definitions import SCENARIOS

    width = max(len(scenario.name) for scenario in SCENARIOS)
    for scenario in SCENARIOS:
        typer.echo(f"{scenario.name.ljust(width)}  {scenario.teaches}")


@scenario_app.command()
def show(name: NameArgument) -> None:
    """Print the page of a scenario."""
    from bookinfo_lab.scenarios import definitions, documentation

    typer.echo(documentation.page(definitions.find(name)), nl=False)


@scenario_app.command()
def run(
    name: NameArgument,
    step: Annotated[
        int | None, typer.Option(min=1, help="Apply the manifests up to this step, check its claims, and stop there.")
    ] = None,
    as_json: JsonOption = False,
    lab: LabOption = "default",
) -> None:
    """Run a scenario in a lab and restore the lab, or run it up to a step."""
    from bookinfo_lab import repository
    from bookinfo_lab.errors import LabError
    from bookinfo_lab.scenarios import definitions, report, verification
    from bookinfo_lab.scenarios.manifests import Manifests
    from bookinfo_lab.scenarios.runner import Runner

    scenario = definitions.find(name)
    if step is None:
        verify([name], as_json=as_json, lab=lab)
        return
    if step > len(scenario.steps):
        raise LabError(f"--step {step}: {name} has {len(scenario.steps)} steps")
    runner = Runner(verification.running_lab(lab, os.environ), Manifests(repository.find(os.environ)), _progress)
    started = time.monotonic()
    results = runner.show(scenario, step)
    if as_json:
        typer.echo(report.as_json(results, time.monotonic() - started))
    else:
        typer.echo(report.table(results, _width()))
        typer.echo(f"\n{scenario.steps[step - 1].text.strip()}\n")
        typer.echo("The rules of this step stay applied; `bookinfo reset` removes them.")
    if any(row.failed for row in results):
        raise typer.Exit(1)


@scenario_app.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a page is not current.")] = False,
) -> None:
    """Generate docs/scenarios from the definitions."""
    from bookinfo_lab import repository
    from bookinfo_lab.errors import LabError
    from bookinfo_lab.scenarios import documentation

    folder = repository.find(os.environ) / documentation.DIRECTORY
    if check:
        if stale := documentation.stale(folder):
            raise LabError(f"not current: {', '.join(stale)}; run `bookinfo scenario docs`")
        return
    documentation.write(folder)


def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names of scenarios. Default: all.")] = None,
    as_json: JsonOption = False,
    lab: LabOption = "default",
    context: Annotated[
        str | None, typer.Option(help="Verify the cluster of this kubectl context instead of a lab.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="The namespace of Bookinfo in the cluster.")] = "default",
    gateway: Annotated[str, typer.Option(help="The URL of the gateway, if its Service has no external address.")] = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also change objects that Helm or another tool manages.")
    ] = False,
    settle: Annotated[float, typer.Option(min=0, help="The seconds in which a cluster applies a rule.")] = 90.0,
) -> None:
    """Verify on real traffic that the mesh does what its rules say, and restore the objects from before.

    Each claim about a rule is checked twice with the same traffic: with the rule it must pass, and without the rule it
    must fail. If no lab runs, the command starts one and stops it at the end. The exit code is 1 if a claim fails.
    """
    from bookinfo_lab.errors import LabError
    from bookinfo_lab.scenarios import report, verification

    if context == "":
        raise LabError("--context: the value is empty; use a name from `kubectl config get-contexts`")
    if context is None and (gateway or take_over or namespace != "default"):
        option = "--gateway" if gateway else "--take-over" if take_over else f"--namespace {namespace}"
        raise LabError(f"{option} requires --context; use a name from `kubectl config get-contexts`")

    def done(scenario: "Scenario", results: "list[ClaimResult]") -> None:
        if not as_json:
            typer.echo(f"\n{scenario.name}: {scenario.title}\n{report.table(results, _width())}")

    scenarios = verification.select_scenarios(names or [])
    for number in (signal.SIGTERM, signal.SIGHUP):  # exit normally, so that the objects are restored
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with contextlib.ExitStack() as stack:
        target: Target
        if context:
            found = verification.cluster(
                context, namespace, gateway, settle, os.environ, _progress, take_over=take_over
            )
            target = stack.enter_context(found)
        else:
            target = stack.enter_context(verification.lab(lab, os.environ, _progress))
        outcome = verification.verify(target, scenarios, os.environ, _progress, done)
        if as_json:
            typer.echo(report.as_json(outcome.results, outcome.seconds))
        else:
            typer.echo(f"\n{report.summary(outcome.results, outcome.seconds)}")
    if outcome.failed:
        raise typer.Exit(1)


def certificate(
    host: Annotated[str, typer.Argument(help="The DNS name in the certificate, such as books.example.")],
) -> None:
    """Print a Secret with a certificate from a new certificate authority, for kubernetes/external-books.yaml."""
    from bookinfo_lab.scenarios.certificate import secret_manifest

    typer.echo(secret_manifest(host), nl=False)


def _width() -> int:
    from bookinfo_lab.scenarios import report

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else report.WIDTH


def _progress(line: str) -> None:
    typer.echo(line, err=True)
