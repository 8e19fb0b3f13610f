"""`bookinfo up`, `down`, `status` and `logs`."""

import asyncio
import contextlib
import json
import os
from typing import Annotated

import typer

from bookinfo_lab.cli import lab_requests, output
from bookinfo_lab.cli.options import START_AND_STOP, JsonOption, LabOption
from bookinfo_lab.errors import LabError


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (up, down, status, logs):
        app.command(rich_help_panel=START_AND_STOP)(command)


def up(
    gateway_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the gateway on 127.0.0.1; 0 selects a free port.")
    ] = 8080,
    watch_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            show_default="8081, or a free port if 8081 is in use",
            help="The port of the watch page on 127.0.0.1; 0 selects a free port.",
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Serve the watch page.")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background, and return when the lab is ready.")
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Start a lab. Ctrl-C stops it."""
    directory = lab_requests.directory(lab)
    if detach:
        from bookinfo_lab.runtime import background

        options = [f"--gateway-port={gateway_port}", "--watch" if watch else "--no-watch"]
        options += [] if watch_port is None else [f"--watch-port={watch_port}"]
        background.start(directory, options, os.environ, output.progress)
        typer.echo("the lab runs in the background; `bookinfo down` stops it")
        return
    from bookinfo_lab.resources.documents import ManifestError
    from bookinfo_lab.runtime import supervisor
    from bookinfo_lab.watch.listener import WatchPage, listen

    environ = dict(os.environ)

    def open_page() -> WatchPage:
        return WatchPage(listen(watch_port), environ)

    try:
        settings = supervisor.Settings(directory, gateway_port, environ, open_page if watch else None)
        asyncio.run(supervisor.run(settings, output.progress))
    except ManifestError as error:
        raise LabError(str(error)) from error


def down(lab: LabOption = "default") -> None:
    """Stop a lab."""
    from bookinfo_lab.runtime import background

    background.stop(lab_requests.directory(lab))
    typer.echo(f"lab {lab!r} is down")


def status(as_json: JsonOption = False, lab: LabOption = "default") -> None:
    """List the workloads and gateways of a lab."""
    response = lab_requests.send(lab, "/status")
    if as_json:
        typer.echo(json.dumps(response, indent=2))
        return
    columns = ("name", "service", "version", "address", "pid", "sidecar_pid", "state", "restarts")
    watch = f", watch page: {response['watch']}" if response["watch"] else ""
    typer.echo(f"lab {response['lab']}: {response['state']}, {response['url']}{watch}")
    gateways = [
        gateway | {"sidecar_pid": gateway["pid"], "pid": None}
        for gateway in (response["gateway"], *response["gateways"])
    ]
    for gateway in gateways:
        for port, url in gateway["urls"].items():
            typer.echo(f"{gateway['name']}: port {port} is {url}")
    rows = [*response["workloads"], *gateways]
    output.table(columns, [[row.get(column) for column in columns] for row in rows])
    telemetry = response["telemetry"]
    typer.echo(f"Istio metrics: {telemetry}/metrics; OTLP endpoint for spans: {telemetry}/v1/traces")


def logs(
    workload: Annotated[
        str | None, typer.Argument(help="The name of a pod or of its Deployment. Default: all workloads.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="Print the log of the sidecar instead of the application's.")
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Print the logs of workloads, also of a lab that is down."""
    from bookinfo_lab.client import logs as log_files

    files = log_files.find(lab_requests.directory(lab).proxies, workload, sidecar=sidecar)
    with contextlib.suppress(KeyboardInterrupt):
        for line in log_files.read(files, follow=follow):
            typer.echo(line)
