"""`bookinfo scenario`, `bookinfo verify`, `bookinfo certificate`."""

import contextlib
import os
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bookinfo_lab.scenarios.model import Scenario
    from bookinfo_lab.scenarios.runner import ClaimResult
    from bookinfo_lab.scenarios.target import Target

LabOption = Annotated[str, typer.Option("--lab", envvar="BOOKINFO_LAB", help="Which lab, if there are several.")]
NameArgument = Annotated[str, typer.Argument(help="A scenario; `bookinfo scenario list` shows them.")]

scenario_app = typer.Typer(help="Lessons: what they teach, and running them step by step.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(scenario_app, name="scenario")
    app.command()(verify)
    app.command()(certificate)


@scenario_app.command("list")
def list_scenarios() -> None:
    """List the scenarios in the order in which they are best learned."""
    from bookinfo_lab.scenarios.definitions import SCENARIOS

    width = max(len(scenario.name) for scenario in SCENARIOS)
    for scenario in SCENARIOS:
        typer.echo(f"{scenario.name.ljust(width)}  {scenario.teaches}")


@scenario_app.command()
def show(name: NameArgument) -> None:
    """Print a scenario's page."""
    from bookinfo_lab.scenarios import definitions, documentation

    typer.echo(documentation.page(definitions.find(name)), nl=False)


@scenario_app.command()
def run(
    name: NameArgument,
    step: Annotated[
        int | None, typer.Option(min=1, help="Go to this step, show what is to be seen there, and stay.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    lab: LabOption = "default",
) -> None:
    """Run one scenario in a lab: all of it and back, or up to a step and no further."""
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
        raise LabError(f"{name} has {len(scenario.steps)} steps")
    runner = Runner(verification.running_lab(lab, os.environ), Manifests(repository.find(os.environ)), _progress)
    began = time.monotonic()
    results = runner.show(scenario, step)
    if as_json:
        typer.echo(report.as_json(results, time.monotonic() - began))
    else:
        typer.echo(report.table(results, _width()))
        typer.echo(f"\n{scenario.steps[step - 1].text.strip()}\n\nIt stays so; `bookinfo reset` goes back.")
    if any(row.failed for row in results):
        raise typer.Exit(1)


@scenario_app.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if a page is not current.")] = False,
) -> None:
    """Write docs/scenarios anew from the definitions."""
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
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios; all if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    lab: LabOption = "default",
    context: Annotated[
        str | None, typer.Option(help="Verify the cluster of this kubectl context instead of a lab.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Where Bookinfo is in the cluster.")] = "default",
    gateway: Annotated[str, typer.Option(help="The URL of the cluster's gateway, if it cannot tell.")] = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="In a cluster also change what Helm or another tool manages.")
    ] = False,
    settle: Annotated[float, typer.Option(min=0, help="Seconds that a cluster may take to spread a rule.")] = 90.0,
) -> None:
    """Prove on real traffic that the mesh does what its rules say, and restore what was there before.

    Each claim is results twice: with its rule it must hold, and without it, on the same traffic, it must not. If no lab
    runs, one is started for the purpose. The exit code is 1 if any claim does not come out so.
    """
    from bookinfo_lab.errors import LabError
    from bookinfo_lab.scenarios import report, verification

    if context == "":
        raise LabError("--context is empty: name one of `kubectl config get-contexts`")
    if context is None and (gateway or take_over or namespace != "default"):
        option = "--gateway" if gateway else "--take-over" if take_over else f"--namespace {namespace}"
        raise LabError(f"{option} is for a cluster: name it by --context, one of `kubectl config get-contexts`")

    def done(scenario: "Scenario", results: "list[ClaimResult]") -> None:
        if not as_json:
            typer.echo(f"\n{scenario.name}: {scenario.title}\n{report.table(results, _width())}")

    scenarios = verification.select_scenarios(names or [])
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that everything is restored then, too
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
    host: Annotated[str, typer.Argument(help="The name that it is for, e.g. books.example.")],
) -> None:
    """Print a Secret with a certificate from an authority of its own, for kubernetes/external-books.yaml."""
    from bookinfo_lab.scenarios.certificate import secret_manifest

    typer.echo(secret_manifest(host), nl=False)


def _width() -> int:
    from bookinfo_lab.scenarios import report

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else report.WIDTH


def _progress(line: str) -> None:
    typer.echo(line, err=True)
