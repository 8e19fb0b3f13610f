"""The `bookinfo-canary` command."""

import os
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bookinfo_canary import plan as asked
from bookinfo_canary.controller import Release
from bookinfo_canary.errors import CanaryError, NotRestoredError, RefusedError
from bookinfo_canary.events import Event, RolledBack, encoded, line
from bookinfo_canary.metrics import Selector
from bookinfo_canary.owned import Route
from bookinfo_canary.plan import Criteria, Plan, Service, Versions
from bookinfo_canary.routes import HTTPRoute, RouteKind, VirtualService
from bookinfo_canary.signals import Signals
from bookinfo_canary.sources import Endpoint, Prometheus, Source
from bookinfo_canary.targets import Kubectl, Lab, Target

ROLLED_BACK, REFUSED, NOT_RESTORED = 1, 2, 3

app = typer.Typer(
    help="Gives a new version more and more of a service's requests, and takes them back when it is bad.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class TargetName(StrEnum):
    """Where the service runs."""

    KUBECTL = "kubectl"
    LAB = "lab"


class RouteName(StrEnum):
    """What shares its requests."""

    VIRTUALSERVICE = "virtualservice"
    HTTPROUTE = "httproute"


class Reporter(StrEnum):
    """Whose account counts."""

    SOURCE = "source"
    DESTINATION = "destination"
    WAYPOINT = "waypoint"


ServiceOption = Annotated[str, typer.Option(help="Whose requests, e.g. reviews.")]
StableOption = Annotated[str, typer.Option(help="The version that is known to be good.")]
TargetOption = Annotated[TargetName, typer.Option(help="Where it runs.")]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n")]
ContextOption = Annotated[str | None, typer.Option(help="kubectl's context; default: the current one.")]
LabOption = Annotated[str | None, typer.Option(help="Which lab, if there are several.")]
RouteOption = Annotated[RouteName, typer.Option(help="What shares the requests.")]
TakeOverOption = Annotated[
    bool, typer.Option("--take-over", help="Also change a route that somebody else manages or wrote.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


def main() -> None:
    """Run the command; what is wrong is told in one line, and by the exit status."""
    try:
        app()
    except NotRestoredError as error:
        _complain(f"NOT ROLLED BACK, the new version may still get requests: {error}")
        sys.exit(NOT_RESTORED)
    except CanaryError as error:
        _complain(f"nothing was changed: {error}")
        sys.exit(REFUSED)
    finally:
        Signals.ignore()


@app.command()
def run(
    service: ServiceOption,
    stable: StableOption,
    canary: Annotated[str, typer.Option(help="The new version.")],
    steps: Annotated[str, typer.Option(help="Percent of the requests.")] = "10,25,50,100",
    window: Annotated[str, typer.Option(help="How long each step is watched.")] = "60s",
    limit: Annotated[str | None, typer.Option(help="How long a step may take in all; default: five windows.")] = None,
    settle: Annotated[
        str | None,
        typer.Option(help="From a new weight to the first count; default: 15s (a scrape), without Prometheus 2s."),
    ] = None,
    min_requests: Annotated[int, typer.Option(min=10, help="So many to each version, or it is not judged.")] = 100,
    min_success: Annotated[float, typer.Option(min=0, max=100, help="Percent of the requests that must succeed.")] = 99,
    max_success_drop: Annotated[
        float, typer.Option(min=0, max=100, help="At most so many percentage points below the stable version.")
    ] = 1,
    max_p99_ratio: Annotated[float, typer.Option(min=1, help="p99 at most, as a multiple of the stable's.")] = 1.5,
    p99_floor: Annotated[str, typer.Option(help="A p99 up to this is good, whatever the stable's is.")] = "50ms",
    target: TargetOption = TargetName.KUBECTL,
    namespace: NamespaceOption = "default",
    context: ContextOption = None,
    lab: LabOption = None,
    route: RouteOption = RouteName.VIRTUALSERVICE,
    reporter: Annotated[
        Reporter, typer.Option(help="Whose account of the requests; the callers' proxies see every failure.")
    ] = Reporter.SOURCE,
    prometheus: Annotated[str | None, typer.Option(help="The address of a Prometheus that scrapes the mesh.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Instead: an address that tells the whole mesh's metrics; default: the lab's.")
    ] = None,
    take_over: TakeOverOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take a new version through its steps.

    Ends with 0: it has every request; 1: rolled back; 2: refused, nothing was changed; 3: it could not be rolled back.
    """
    signals = Signals()
    signals.listen()
    versions = Versions(Service(service, namespace), stable, canary)
    watched = asked.seconds("--window", window)
    plan = Plan(
        versions=versions,
        steps=asked.percentages(steps),
        criteria=Criteria(
            min_requests=min_requests,
            min_success=min_success / 100,
            max_success_drop=max_success_drop / 100,
            max_p99_ratio=max_p99_ratio,
            p99_floor=asked.seconds("--p99-floor", p99_floor) * 1000,
        ),
        window=watched,
        limit=5 * watched if limit is None else asked.seconds("--limit", limit),
        settle=asked.seconds("--settle", settle or ("15s" if prometheus else "2s")),
    )
    where = _target(target, namespace, context, lab)
    source = _source(prometheus, metrics, where, Selector.of(versions, reporter))
    owned = Route(where, _kind(route), versions.service, take_over=take_over)
    if not Release(plan, owned, source, signals, _reporter(as_json=as_json)).run():
        raise typer.Exit(ROLLED_BACK)


@app.command()
def rollback(
    service: ServiceOption,
    stable: StableOption,
    target: TargetOption = TargetName.KUBECTL,
    namespace: NamespaceOption = "default",
    context: ContextOption = None,
    lab: LabOption = None,
    route: RouteOption = RouteName.VIRTUALSERVICE,
    take_over: TakeOverOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give every request to one version: to undo a release, and before a new version is installed.

    Ends with 0: it is so; 2: refused, nothing was changed; 3: it could not be done.
    """
    signals = Signals()
    signals.listen()
    of = Service(service, namespace)
    owned = Route(_target(target, namespace, context, lab), _kind(route), of, take_over=take_over)
    owned.examine((stable,), alone=False)
    owned.restore({stable: 100}, signals)
    _reporter(as_json=as_json)(RolledBack(of, stable, "that was asked for"))


def _target(name: TargetName, namespace: str, context: str | None, lab: str | None) -> Target:
    if name is TargetName.KUBECTL:
        if lab:
            raise RefusedError("--lab goes with --target lab")
        return Kubectl(namespace, context)
    if context or namespace != "default":
        raise RefusedError("--context and --namespace go with --target kubectl")
    beside = Path(sys.executable).with_name("bookinfo")
    return Lab(lab, (str(beside) if beside.exists() else shutil.which("bookinfo") or "bookinfo",))


def _kind(name: RouteName) -> RouteKind:
    return VirtualService() if name is RouteName.VIRTUALSERVICE else HTTPRoute()


def _source(prometheus: str | None, metrics: str | None, target: Target, selector: Selector) -> Source:
    if prometheus and metrics:
        raise RefusedError("--prometheus and --metrics: name one of them")
    if prometheus:
        return Prometheus(prometheus, selector)
    if metrics:
        return Endpoint(metrics, selector)
    if isinstance(target, Lab):
        return Endpoint(target.metrics(), selector)
    raise RefusedError("the gate needs metrics: name a --prometheus")


def _reporter(*, as_json: bool) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        try:
            typer.echo(encoded(event) if as_json else line(event))
        except BrokenPipeError:  # nobody reads any more, which is no reason to give up
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return report


def _complain(message: str) -> None:
    typer.echo(f"bookinfo-canary: {message}", err=True)
