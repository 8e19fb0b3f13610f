"""`bookinfo load` and `bookinfo exec`."""

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from bookinfo_lab.cli import lab_requests
from bookinfo_lab.cli.options import TRAFFIC, LabOption, WorkloadArgument
from bookinfo_lab.errors import LabError

if TYPE_CHECKING:
    from bookinfo_lab.client.load import Tally

# The exit codes of a POSIX shell.
_NOT_EXECUTABLE = 126
_NOT_FOUND = 127


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(rich_help_panel=TRAFFIC)(load)
    app.command("exec", rich_help_panel=TRAFFIC, context_settings={"ignore_unknown_options": True})(execute)


def load(
    rps: Annotated[float, typer.Option(min=0.1, max=1000, help="Requests per second.")] = 10,
    duration: Annotated[
        float, typer.Option(min=0.1, show_default="until Ctrl-C", help="The duration in seconds.")
    ] = math.inf,
    user: Annotated[
        list[str] | None, typer.Option(help="Sign in as this user; repeatable. Several users take turns.")
    ] = None,
    lab: LabOption = "default",
    url: Annotated[str, typer.Option(help="The URL of the product page in a cluster, instead of a lab.")] = "",
) -> None:
    """Send steady traffic to the product page, and show the responses of the last seconds and in total."""
    from bookinfo_lab.client import load as traffic

    page = traffic.page_url(url or lab_requests.send(lab, "/status")["url"])
    tally = traffic.Tally()

    async def show() -> None:
        with _display() as display:
            async for _ in traffic.run(tally, page, rps, duration, user or []):
                display(tally)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show())
    typer.echo(tally.summary())
    if tally.total and not tally.answered:
        raise LabError(f"{page} did not respond; run `bookinfo status`, or correct the URL")


def execute(
    workload: WorkloadArgument,
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    lab: LabOption = "default",
) -> None:
    """Run a command with the environment of a workload. Its requests use the sidecar of that workload."""
    description = lab_requests.send(lab, f"/workloads/{workload}")
    if "env" not in description:
        raise LabError(f"{workload} has no application; name a pod or a Deployment from `bookinfo status`")
    env = description["env"] | {"TERM": os.environ.get("TERM", "dumb")}
    try:
        os.execvpe(command[0], command, env)  # noqa: S606 - the user requests this command
    except OSError as error:
        typer.echo(f"bookinfo: {command[0]}: {error.strerror}", err=True)
        raise typer.Exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE) from error


@contextlib.contextmanager
def _display() -> Iterator[Callable[["Tally"], None]]:
    """Show a tally: in place on a terminal, otherwise as one more line."""
    if not sys.stdout.isatty():
        yield lambda tally: typer.echo(tally.line(time.monotonic()))
        return
    from rich.live import Live
    from rich.table import Table

    from bookinfo_lab.client.load import WINDOW

    window = f"last {WINDOW:g} s"
    with Live() as live:

        def draw(tally: "Tally") -> None:
            table = Table("outcome", "page by", window, "share", "p50", "p99", "total", box=None, header_style="bold")
            for row in tally.rows(time.monotonic()):
                recent = (str(row.recent), f"{row.share:.0f} %", f"{row.median:.0f} ms", f"{row.p99:.0f} ms")
                table.add_row(row.outcome, row.version, *(recent if row.recent else ("-",) * 4), str(row.total))
            live.update(table)

        yield draw
