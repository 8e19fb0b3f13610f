"""The help text of every command, compared with golden files. `make goldens` regenerates them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bookinfo_lab.cli.main import app

DIRECTORY = Path(__file__).parent / "testdata/help"
PANELS = ("Start and stop", "Rules", "Traffic", "Observe", "Verify")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command, such as `("scenario", "run")`."""
    yield path
    for name, child in getattr(command, "commands", {}).items():  # only a group has commands
        yield from commands(child, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def help_text(path: tuple[str, ...]) -> str:
    """The help of a command at a width of 100 columns, without colors."""
    env = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb", "BOOKINFO_LAB": None}
    result = CliRunner().invoke(app, [*path, "--help"], prog_name="bookinfo", env=env)
    assert result.exit_code == 0, result.output
    lines = re.sub(r"\x1b\[[0-9;]*m", "", result.output).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


@pytest.fixture(autouse=True)
def no_terminal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "bookinfo")
def test_help_is_the_golden_text(path: tuple[str, ...], golden: Callable[[Path, str], None]) -> None:
    golden(DIRECTORY / f"{'-'.join(path) or 'bookinfo'}.txt", help_text(path))


def test_every_golden_file_belongs_to_a_command() -> None:
    names = {"-".join(path) or "bookinfo" for path in COMMANDS}
    assert {file.stem for file in DIRECTORY.iterdir()} == names


def test_help_lists_the_commands_in_panels() -> None:
    text = help_text(())
    positions = [text.index(f"─ {panel} ─") for panel in PANELS]
    assert positions == sorted(positions)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "bookinfo")
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    without = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert without == []
