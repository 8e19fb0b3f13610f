"""Tables, lists and progress lines of the commands."""

import sys
from typing import Any

import typer


def progress(line: str) -> None:
    """Print a progress line on standard error: standard output contains only the result."""
    typer.echo(line, err=True)


def section(title: str, lines: list[str]) -> None:
    """Print a title and indented lines."""
    typer.echo(f"{title}:")
    for line in lines or ["none"]:
        typer.echo(f"  {line}")


def table(columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    """Print a table: with bold titles on a terminal, otherwise aligned plain text with a dash for an empty value."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        rich_table = Table(*columns, box=None, header_style="bold")
        for row in rows:
            rich_table.add_row(*("" if value is None else str(value) for value in row))
        Console().print(rich_table)
        return
    texts = [
        [column.upper() for column in columns],
        *(["-" if value in (None, "") else str(value) for value in row] for row in rows),
    ]
    widths = [max(len(row[index]) for row in texts) for index in range(len(columns))]
    for row in texts:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
