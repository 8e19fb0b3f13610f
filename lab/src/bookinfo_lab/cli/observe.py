"""`bookinfo graph` and `bookinfo trace`: what the watch page draws, in a terminal."""

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from bookinfo_lab.cli.options import OBSERVE, JsonOption, LabOption
from bookinfo_lab.client import control, state
from bookinfo_lab.errors import LabError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


_PERIOD = 1.0
_WIDTH = 160
"""Of what no terminal limits, in characters."""


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(rich_help_panel=OBSERVE)(graph)
    app.command(rich_help_panel=OBSERVE)(trace)


def graph(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Draw it anew every second, until Ctrl-C.")] = False,
    window: Annotated[float, typer.Option(min=1, max=300, help="Seconds over which rates are.")] = 10,
    as_json: JsonOption = False,
    lab: LabOption = "default",
) -> None:
    """Show who calls whom: rates, shares, errors and times, each version apart."""
    if not watch:
        told = _ask(lab, f"/graph?window={window:g}")
        if as_json:
            typer.echo(json.dumps(told, indent=2))
        else:
            _console().print(_graph(told))
        return
    with contextlib.suppress(KeyboardInterrupt):
        _watch(lab, window, as_json=as_json)


def trace(
    trace_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="A trace id, or how it begins; the newest trace if left out.")
    ] = "",
    slowest: Annotated[bool, typer.Option("--slowest", help="The slowest of those that are kept.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="List the last traces instead.")] = False,
    as_json: JsonOption = False,
    lab: LabOption = "default",
) -> None:
    """Show where a request's time went, span by span."""
    from bookinfo_lab.observe import terminal, waterfall

    if sum((bool(trace_id), slowest, as_list)) > 1:
        raise LabError("give an id, or --slowest, or --list")
    if not trace_id:
        summaries = _ask(lab, "/traces")
        if not summaries and not (as_list and as_json):
            raise LabError(
                "there are no traces yet: open the product page, or run `bookinfo load`, and wait three seconds"
            )
        if as_list:
            _show(summaries, terminal.traces(summaries[:30]), as_json=as_json)
            return
        trace_id = (max(summaries, key=lambda item: item["duration"]) if slowest else summaries[0])["trace_id"]
    told = _ask(lab, f"/traces/{quote(trace_id, safe='')}")
    _show(told, terminal.waterfall(waterfall.from_json(told), _console().width), as_json=as_json)


def _watch(lab: str, window: float, *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            told = _ask(lab, f"/graph?window={window:g}")
            _show(told, _graph(told), as_json=as_json, indent=None)
            time.sleep(_PERIOD)
    from rich.live import Live

    with Live(console=_console(), auto_refresh=False, screen=True) as live:
        while True:
            live.update(_graph(_ask(lab, f"/graph?window={window:g}")), refresh=True)
            time.sleep(_PERIOD)


def _show(told: Any, shown: "RenderableType", *, as_json: bool, indent: int | None = 2) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=indent))
    else:
        _console().print(shown)


def _graph(told: Any) -> "RenderableType":
    from bookinfo_lab.observe import graph as observed
    from bookinfo_lab.observe import terminal

    return terminal.graph(observed.from_json(told))


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _WIDTH)


def _ask(lab: str, path: str) -> Any:
    return asyncio.run(control.ask(state.lab_folder(lab, os.environ), path))
