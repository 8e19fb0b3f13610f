"""The `bookinfo` command.

What a command needs is imported when it runs: each must answer at once, and most need little.
"""

import asyncio
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bookinfo_lab.cli import observe, scenarios
from bookinfo_lab.client import control, state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError

if TYPE_CHECKING:
    from bookinfo_lab.client.load import Tally

app = typer.Typer(
    help="Bookinfo on this machine: Kubernetes and Istio manifests, run as processes and real Envoys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
scenarios.add_to(app)
observe.add_to(app)

LabOption = Annotated[str, typer.Option("--lab", envvar="BOOKINFO_LAB", help="Which lab, if there are several.")]
WorkloadArgument = Annotated[str, typer.Argument(help="A pod's name or its Deployment's, e.g. reviews-v1.")]
FilesOption = Annotated[list[str], typer.Option("--filename", "-f", help="A file, a folder, or - for standard input.")]

# As a shell has it.
_NOT_EXECUTABLE = 126
_NOT_FOUND = 127

T = TypeVar("T")


def main() -> None:
    """Run the command; what is wrong is told in one line."""
    try:
        app()
    except LabError as error:
        typer.echo(f"bookinfo: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # as with `bookinfo logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def up(
    gateway_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the gateway listens on 127.0.0.1; 0: any free port.")
    ] = 8080,
    watch_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            show_default="8081, or any free one if that is taken",
            help="Where the page to watch the lab on listens on 127.0.0.1; 0: any free port.",
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Serve that page.")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it is ready, and leave it running.")
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Start Bookinfo, and stop it with Ctrl-C."""
    folder = _folder(lab)
    if detach:
        from bookinfo_lab.runtime import background

        options = [f"--gateway-port={gateway_port}", "--watch" if watch else "--no-watch"]
        options += [] if watch_port is None else [f"--watch-port={watch_port}"]
        background.start(folder, options, os.environ, _report)
        typer.echo("it runs on in the background; stop it with `bookinfo down`")
        return
    from bookinfo_lab.resources.documents import ManifestError
    from bookinfo_lab.runtime import supervisor
    from bookinfo_lab.watch.listener import WatchPage, listen

    environ = dict(os.environ)

    def open_page() -> WatchPage:
        return WatchPage(listen(watch_port), environ)

    try:
        settings = supervisor.Settings(folder, gateway_port, environ, open_page if watch else None)
        asyncio.run(supervisor.run(settings, _report))
    except ManifestError as error:
        raise LabError(str(error)) from error


@app.command()
def down(lab: LabOption = "default") -> None:
    """Stop a lab."""
    from bookinfo_lab.runtime import background

    background.stop(_folder(lab))
    typer.echo(f"lab {lab!r} is down")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False, lab: LabOption = "default"
) -> None:
    """Show what runs."""
    answer = _ask(lab, "/status")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    columns = ("name", "service", "version", "address", "pid", "sidecar_pid", "state", "restarts")
    watch = f", watch it at {answer['watch']}" if answer["watch"] else ""
    typer.echo(f"lab {answer['lab']}: {answer['state']}, {answer['url']}{watch}")
    edges = [edge | {"sidecar_pid": edge["pid"], "pid": None} for edge in (answer["gateway"], *answer["gateways"])]
    for edge in edges:
        for port, url in edge["urls"].items():
            typer.echo(f"{edge['name']}: port {port} is {url}")
    _table(columns, [[row.get(column) for column in columns] for row in [*answer["workloads"], *edges]])
    typer.echo(f"Istio's metrics: {answer['telemetry']}/metrics; spans are taken at {answer['telemetry']}/v1/traces")


@app.command()
def logs(
    workload: Annotated[str | None, typer.Argument(help="A pod's name or its Deployment's; all if left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    sidecar: Annotated[bool, typer.Option("--sidecar", help="Envoy's log instead of the application's.")] = False,
    lab: LabOption = "default",
) -> None:
    """Print what workloads logged, also when the lab is down."""
    from bookinfo_lab.client import logs as reading

    files = reading.find(_folder(lab).proxies, workload, sidecar=sidecar)
    with contextlib.suppress(KeyboardInterrupt):
        for line in reading.read(files, follow=follow):
            typer.echo(line)


@app.command()
def proxy(
    workload: WorkloadArgument,
    path: Annotated[str, typer.Argument(help="A path of Envoy's admin interface, e.g. /clusters.")],
    lab: LabOption = "default",
) -> None:
    """Read the admin interface of a workload's Envoy, or of a gateway's (e.g. istio-ingressgateway)."""
    typer.echo(_admin(lab, workload, path), nl=False)


@app.command()
def config(workload: WorkloadArgument, lab: LabOption = "default") -> None:
    """Print the configuration that a workload's Envoy runs."""
    typer.echo(_admin(lab, workload, "/config_dump?include_eds"), nl=False)


@app.command()
def describe(workload: WorkloadArgument, lab: LabOption = "default") -> None:
    """Tell what a workload is, which rules hold for it, and which of its fields have no effect here."""
    answer = _ask(lab, f"/workloads/{workload}")
    for key in ("name", "deployment", "namespace", "address", "state", "spiffe_id", "folder"):
        if key in answer:
            typer.echo(f"{key.replace('_', ' ')}: {answer[key]}")
    _section("labels", [f"{name}={value}" for name, value in sorted(answer["labels"].items())])
    _section("rules that hold", answer["rules"])
    if "env" in answer:
        _section("environment", [f"{name}={value}" for name, value in sorted(answer["env"].items())])
        _section("fields that the lab ignores", answer["ignored_fields"])


@app.command(context_settings={"ignore_unknown_options": True})
def exec(  # noqa: A001 - kubectl's name
    workload: WorkloadArgument,
    command: Annotated[list[str], typer.Argument(help="What to run, after --.")],
    lab: LabOption = "default",
) -> None:
    """Run a command with the environment of a workload: its requests go through that workload's sidecar."""
    told = _ask(lab, f"/workloads/{workload}")
    if "env" not in told:
        raise LabError(f"{workload} has no application")
    env = told["env"] | {"TERM": os.environ.get("TERM", "dumb")}
    try:
        os.execvpe(command[0], command, env)  # noqa: S606 - it is what the user asks for
    except OSError as error:
        typer.echo(f"bookinfo: {command[0]}: {error.strerror}", err=True)
        raise typer.Exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE) from error


@app.command()
def apply(filename: FilesOption, lab: LabOption = "default") -> None:
    """Apply manifests: all of them or none. Returns when every Envoy runs them."""
    _change(lab, "/apply", filename)


@app.command()
def delete(
    filename: FilesOption,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="It is no failure if something is not there.")
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Delete what manifests name."""
    missing = any(line.endswith("not found") for line in _change(lab, "/delete", filename))
    if missing and not ignore_not_found:
        raise typer.Exit(1)


@app.command()
def reset(lab: LabOption = "default") -> None:
    """Go back to what the lab was started with."""
    _ask(lab, "/reset", method="POST")
    typer.echo("reset to the workloads and the gateway of the start")


@app.command()
def scale(
    deployment: Annotated[str, typer.Argument(help="A Deployment, e.g. ratings-v1.")],
    replicas: Annotated[int, typer.Option(min=0, help="How many pods it is to have.")],
    lab: LabOption = "default",
) -> None:
    """Run more or fewer pods of a Deployment."""
    body = json.dumps({"deployment": deployment, "replicas": replicas}).encode()
    for line in _ask(lab, "/scale", method="POST", body=body):
        typer.echo(line)


@app.command()
def get(
    kind: Annotated[str | None, typer.Argument(help="E.g. virtualservice, or vs.")] = None,
    name: Annotated[str | None, typer.Argument()] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="yaml or json.")] = None,
    lab: LabOption = "default",
) -> None:
    """List the objects that are applied."""
    from urllib.parse import urlencode

    from bookinfo_lab.resources.store import display_kinds

    query = urlencode({key: value for key, value in (("kind", kind), ("name", name)) if value})
    found = _ask(lab, f"/objects?{query}")
    if output == "json":
        typer.echo(json.dumps(found, indent=2))
    elif output == "yaml":
        import yaml

        typer.echo(yaml.safe_dump_all(found, sort_keys=False), nl=False)
    elif output is None:
        if not found:
            typer.echo(f"no {kind} is applied", err=True)
            return
        names = display_kinds(found)
        rows = [
            [shown, item["metadata"].get("namespace", "default"), item["metadata"]["name"]]
            for shown, item in zip(names, found, strict=True)
        ]
        _table(("kind", "namespace", "name"), rows)
    else:
        raise LabError(f"-o {output}: use yaml or json")


@app.command()
def load(
    rps: Annotated[float, typer.Option(min=0.1, max=1000, help="Requests a second.")] = 10,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds; without it until Ctrl-C.")] = math.inf,
    user: Annotated[list[str] | None, typer.Option(help="Sign in as this user; several take turns.")] = None,
    lab: LabOption = "default",
    url: Annotated[str, typer.Option(help="The page's URL in a cluster, instead of a lab's.")] = "",
) -> None:
    """Send steady traffic to the product page, and show what comes back: of the last seconds, and in all."""
    from bookinfo_lab.client import load as traffic

    page = traffic.page_url(url or _ask(lab, "/status")["url"])
    tally = traffic.Tally()

    async def show() -> None:
        with _display() as display:
            async for _ in traffic.run(tally, page, rps, duration, user or []):
                display(tally)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show())
    typer.echo(tally.summary())
    if tally.total and not tally.answered:
        raise LabError(f"{page} did not answer; see `bookinfo status`, or correct the URL")


@app.command()
def prometheus_config(
    static: Annotated[
        bool, typer.Option("--static", help="With the pods that there are now, instead of where to ask for them.")
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Print a prometheus.yml that scrapes the lab: its services, and Istio's metrics of its proxies."""
    from urllib.parse import urlsplit

    import yaml

    from bookinfo_lab import repository
    from bookinfo_lab.client import http
    from bookinfo_lab.observe import prometheus

    url = _ask(lab, "/status")["telemetry"]
    rules = repository.find(os.environ) / repository.RULES
    address = urlsplit(url)
    target = (address.hostname or "", address.port or 0)
    groups = json.loads(_run(http.request(target, prometheus.TARGETS_PATH)).text) if static else None
    typer.echo(
        yaml.safe_dump(prometheus.config(url, rules if rules.is_dir() else None, groups), sort_keys=False), nl=False
    )


@app.command()
def version() -> None:
    """Print the versions of Bookinfo and of its Envoy."""
    import subprocess
    from importlib.metadata import version as installed

    from bookinfo_lab.runtime import envoy

    typer.echo(f"bookinfo {installed('bookinfo-lab')}")
    binary = envoy.find(os.environ)
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - Envoy
    typer.echo(told.stdout.strip())


def _folder(lab: str) -> LabFolder:
    return state.lab_folder(lab, os.environ)


def _report(line: str) -> None:
    typer.echo(line, err=True)


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def _ask(lab: str, path: str, method: str = "GET", body: bytes = b"") -> Any:
    return _run(control.ask(_folder(lab), path, method=method, body=body))


def _admin(lab: str, workload: str, path: str) -> str:
    return _run(control.admin(_folder(lab), workload, path))


def _change(lab: str, path: str, filenames: list[str]) -> list[str]:
    sources = [source for name in filenames for source in control.sources(name, sys.stdin)]
    lines: list[str] = _ask(lab, path, method="POST", body=json.dumps(sources).encode())
    for line in lines:
        typer.echo(line)
    return lines


@contextlib.contextmanager
def _display() -> Iterator[Callable[["Tally"], None]]:
    """Shows a tally: in place on a terminal, otherwise as one more line."""
    if not sys.stdout.isatty():
        yield lambda tally: typer.echo(tally.line(time.monotonic()))
        return
    from rich.live import Live
    from rich.table import Table

    from bookinfo_lab.client.load import WINDOW

    window = f"last {WINDOW:g} s"
    with Live() as live:

        def draw(tally: "Tally") -> None:
            table = Table("outcome", "page by", window, "share", "p50", "p99", "in all", box=None, header_style="bold")
            for row in tally.rows(time.monotonic()):
                now = (str(row.recent), f"{row.share:.0f} %", f"{row.median:.0f} ms", f"{row.p99:.0f} ms")
                table.add_row(row.outcome, row.version, *(now if row.recent else ("-",) * 4), str(row.total))
            live.update(table)

        yield draw


def _section(title: str, lines: list[str]) -> None:
    typer.echo(f"{title}:")
    for line in lines or ["none"]:
        typer.echo(f"  {line}")


def _table(columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*columns, box=None, header_style="bold")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        Console().print(table)
        return
    texts = [
        [column.upper() for column in columns],
        *(["-" if value in (None, "") else str(value) for value in row] for row in rows),
    ]
    widths = [max(len(row[index]) for row in texts) for index in range(len(columns))]
    for row in texts:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
