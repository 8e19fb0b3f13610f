"""The `bookinfo-canary` command."""

import os
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bookinfo_canary.controller import ReleaseController
from bookinfo_canary.errors import CanaryError, RejectedError, RollbackFailedError
from bookinfo_canary.events import Event, RolledBack, as_json, as_text
from bookinfo_canary.metrics import SeriesSelector
from bookinfo_canary.metrics_sources import MetricsSource, PrometheusSource, TextEndpointSource
from bookinfo_canary.release_plan import Criteria, ReleasePlan, Service, Versions, parse_duration, parse_steps
from bookinfo_canary.route_owner import RouteOwner
from bookinfo_canary.routes import HTTPRoute, RouteKind, VirtualService
from bookinfo_canary.stop_signals import StopSignals
from bookinfo_canary.targets import KubectlTarget, LabTarget, Target

EXIT_ROLLED_BACK, EXIT_REJECTED, EXIT_ROLLBACK_FAILED = 1, 2, 3

app = typer.Typer(
    help="Shift a service's requests to a new version in steps, and roll back a bad version.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class TargetName(StrEnum):
    """Where the service runs."""

    KUBECTL = "kubectl"
    LAB = "lab"


class RouteName(StrEnum):
    """The kind of the route."""

    VIRTUALSERVICE = "virtualservice"
    HTTPROUTE = "httproute"


class Reporter(StrEnum):
    """Which proxies count the requests: Istio's label `reporter`."""

    SOURCE = "source"
    DESTINATION = "destination"
    WAYPOINT = "waypoint"


ServiceOption = Annotated[str, typer.Option(help="Service whose requests are shifted, e.g. reviews.")]
StableOption = Annotated[str, typer.Option(help="Version that is known to be good.")]
TargetOption = Annotated[TargetName, typer.Option(help="Where the service runs.")]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the service.")]
ContextOption = Annotated[str | None, typer.Option(help="kubectl's context; default: the current one.")]
LabOption = Annotated[str | None, typer.Option(help="Name of the lab, if several are running.")]
RouteOption = Annotated[RouteName, typer.Option(help="Kind of the route that has the weights.")]
TakeOverOption = Annotated[
    bool, typer.Option("--take-over", help="Also change a route that another manager owns or that has further rules.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


def main() -> None:
    """Run the command. An error is one line on standard error and an exit code."""
    try:
        app()
    except RollbackFailedError as error:
        _print_error(f"ROLLBACK FAILED, the new version may still receive requests: {error}")
        sys.exit(EXIT_ROLLBACK_FAILED)
    except CanaryError as error:
        _print_error(f"nothing was changed: {error}")
        sys.exit(EXIT_REJECTED)
    finally:
        StopSignals.ignore()


@app.command()
def run(
    service: ServiceOption,
    stable: StableOption,
    canary: Annotated[str, typer.Option(help="The new version.")],
    steps: Annotated[str, typer.Option(help="Weights of the new version, in percent.")] = "10,25,50,100",
    window: Annotated[str, typer.Option(help="How long each step is observed.")] = "60s",
    limit: Annotated[
        str | None, typer.Option(help="How long a step is observed at most; default: five windows.")
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option(
            help="Wait between a new weight and the first reading; default: 15s (one scrape), without Prometheus 2s."
        ),
    ] = None,
    min_requests: Annotated[int, typer.Option(min=10, help="Requests to each version that a decision requires.")] = 100,
    min_success: Annotated[float, typer.Option(min=0, max=100, help="Minimum percentage of successful requests.")] = 99,
    max_success_drop: Annotated[
        float, typer.Option(min=0, max=100, help="Maximum percentage points below the stable version.")
    ] = 1,
    max_p99_ratio: Annotated[float, typer.Option(min=1, help="Maximum p99, as a multiple of the stable one.")] = 1.5,
    p99_floor: Annotated[str, typer.Option(help="A p99 up to this passes, whatever the stable one is.")] = "50ms",
    target: TargetOption = TargetName.KUBECTL,
    namespace: NamespaceOption = "default",
    context: ContextOption = None,
    lab: LabOption = None,
    route: RouteOption = RouteName.VIRTUALSERVICE,
    reporter: Annotated[
        Reporter, typer.Option(help="Proxies whose metrics count; those of the callers (source) see every failure.")
    ] = Reporter.SOURCE,
    prometheus: Annotated[str | None, typer.Option(help="URL of a Prometheus that scrapes the mesh.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Instead: URL of an endpoint with the mesh's metrics; default: the lab's.")
    ] = None,
    take_over: TakeOverOption = False,
    json: JsonOption = False,
) -> None:
    """Release a new version in steps.

    Exit code 0: the new version receives every request. 1: rolled back. 2: rejected, nothing was changed. 3: the
    rollback failed.
    """
    signals = StopSignals()
    signals.install()
    versions = Versions(Service(service, namespace), stable, canary)
    window_seconds = parse_duration("--window", window)
    plan = ReleasePlan(
        versions=versions,
        steps=parse_steps(steps),
        criteria=Criteria(
            min_requests=min_requests,
            min_success=min_success / 100,
            max_success_drop=max_success_drop / 100,
            max_p99_ratio=max_p99_ratio,
            p99_floor_ms=parse_duration("--p99-floor", p99_floor) * 1000,
        ),
        window_seconds=window_seconds,
        limit_seconds=5 * window_seconds if limit is None else parse_duration("--limit", limit),
        settle_seconds=parse_duration("--settle", settle or ("15s" if prometheus else "2s")),
    )
    release_target = _target(target, namespace, context, lab)
    source = _source(prometheus, metrics, release_target, SeriesSelector.for_release(versions, reporter))
    owner = RouteOwner(release_target, _route_kind(route), versions.service, take_over=take_over)
    if not ReleaseController(plan, owner, source, signals, _reporter(json=json)).run():
        raise typer.Exit(EXIT_ROLLED_BACK)


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
    json: JsonOption = False,
) -> None:
    """Route every request to one version: to undo a release, or before a new version is installed.

    Exit code 0: done. 2: rejected, nothing was changed. 3: the rollback failed.
    """
    signals = StopSignals()
    signals.install()
    of_service = Service(service, namespace)
    release_target = _target(target, namespace, context, lab)
    owner = RouteOwner(release_target, _route_kind(route), of_service, take_over=take_over)
    owner.check((stable,), exclusive=False)
    owner.restore_weights({stable: 100}, signals)
    _reporter(json=json)(RolledBack(of_service, stable, "a rollback was requested"))


def _target(name: TargetName, namespace: str, context: str | None, lab: str | None) -> Target:
    if name is TargetName.KUBECTL:
        if lab:
            raise RejectedError("--lab requires --target lab")
        return KubectlTarget(namespace, context)
    if context or namespace != "default":
        raise RejectedError("--context and --namespace require --target kubectl")
    # The `bookinfo` of the same environment, if there is one.
    sibling = Path(sys.executable).with_name("bookinfo")
    return LabTarget(lab, (str(sibling) if sibling.exists() else shutil.which("bookinfo") or "bookinfo",))


def _route_kind(name: RouteName) -> RouteKind:
    return VirtualService() if name is RouteName.VIRTUALSERVICE else HTTPRoute()


def _source(prometheus: str | None, metrics: str | None, target: Target, selector: SeriesSelector) -> MetricsSource:
    if prometheus and metrics:
        raise RejectedError("--prometheus and --metrics exclude each other")
    if prometheus:
        return PrometheusSource(prometheus, selector)
    if metrics:
        return TextEndpointSource(metrics, selector)
    if isinstance(target, LabTarget):
        return TextEndpointSource(target.metrics_url(), selector)
    raise RejectedError("missing option --prometheus: the gate needs metrics")


def _reporter(*, json: bool) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        try:
            typer.echo(as_json(event) if json else as_text(event))
        except BrokenPipeError:  # The reader has gone, but the release goes on.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return report


def _print_error(message: str) -> None:
    typer.echo(f"bookinfo-canary: {message}", err=True)
