"""Wait for a condition."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def eventually(
    condition: Callable[[], Value], within: float = 90.0, interval: float = 0.05, details: Callable[[], object] = str
) -> Value:
    """Return the first true value of `condition`. Fail after `within` seconds, with `details()` in the message.

    `interval` is the pause between two tries, in seconds.
    """
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"condition not met within {within:g} s {details()}".rstrip()
        time.sleep(interval)
    return value
