"""Runs a program and reports its failure in one sentence."""

import subprocess
from collections.abc import Sequence


class CommandError(Exception):
    """A program failed or could not be executed.

    `command` is its name and its first argument, such as `kubectl get`. `stderr` is its error output.
    """

    def __init__(self, message: str, command: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.command = command
        self.stderr = stderr


class CommandTimeoutError(CommandError):
    """A program did not end in time."""


def run_command(
    program: Sequence[str], arguments: Sequence[str], *, stdin: str = "", timeout_seconds: float = 300.0
) -> str:
    """Run `program` with `arguments` once and return its output.

    The program runs in its own session, so that Ctrl-C does not stop it: a rollback or a restoration may need it.

    Raises:
        CommandError: the program fails or cannot be executed.
        CommandTimeoutError: it does not end in time.
    """
    name = program[0].rpartition("/")[2]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own program
            [*program, *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # a log contains what its clients sent
            timeout=timeout_seconds,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise CommandError(f"{program[0]}: not found; install it, or add its directory to PATH") from None
    except OSError as error:
        raise CommandError(f"{program[0]}: cannot be executed ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise CommandTimeoutError(f"{name} {arguments[0]}: no response within {timeout_seconds:g} s") from None
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CommandError(f"{name} {' '.join(arguments[:2])}: {last_line}", f"{name} {arguments[0]}", done.stderr)
    return done.stdout
