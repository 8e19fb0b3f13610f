"""Errors for users, and the catalog of their messages.

Every message has a code, which is stable and which tests compare, and a sentence, which may be improved at any time.
The sentences about manifests are in `manifest_errors`, those about a running lab in `lab_errors`. The golden files in
lab/tests/resources/testdata/errors contain every sentence about a manifest.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec

_P = ParamSpec("_P")

_MAX_LENGTH = 500


@dataclass(frozen=True)
class Message:
    """What is wrong, and what to do about it."""

    code: str
    problem: str
    fix: str = ""

    def __str__(self) -> str:
        """Return the message in one line, each half shortened."""
        return " ".join("; ".join(shorten(part) for part in (self.problem, self.fix) if part).split())


def message(sentence: Callable[_P, tuple[str, str]]) -> Callable[_P, Message]:
    """Turn a function that returns a problem and its fix into one that returns a Message.

    The code is the function's name with dashes: `unknown_field` has the code `unknown-field`.
    """
    code = sentence.__name__.replace("_", "-")

    @functools.wraps(sentence)
    def create(*args: _P.args, **kwargs: _P.kwargs) -> Message:
        return Message(code, *sentence(*args, **kwargs))

    return create


class LabError(Exception):
    """An error that a command prints as one line, without a traceback. `code` is empty if no test needs one."""

    def __init__(self, text: Message | str) -> None:
        super().__init__(str(text))
        self.code = text.code if isinstance(text, Message) else ""


def shorten(text: str) -> str:
    """Return `text` with its middle left out if it is longer than 500 characters."""
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH // 2]} … {text[-_MAX_LENGTH // 2 :]}"


def quoted(value: object) -> str:
    """Return `value` in double quotes, at most 80 characters of it."""
    return f'"{str(value)[:80]}"'


def described(value: object) -> str:
    """Return the type of a JSON value, with the value if it is short: `a list`, `the string "90"`."""
    match value:
        case None:
            return "null"
        case bool() | int() | float():
            return json.dumps(value)
        case str():
            return f"the string {quoted(value)}"
        case list():
            return "a list"
        case _:
            return "an object"


def listed(names: Sequence[str], conjunction: str = "or") -> str:
    """Return `a, b or c`."""
    *others, last = names or ("",)
    return f"{', '.join(others)} {conjunction} {last}" if others else last
