"""Where scenarios run: what the runner needs of a lab or a cluster."""

from collections.abc import Collection, Sequence
from typing import Protocol

from bookinfo_client.send import Result
from bookinfo_lab.documents import Document
from bookinfo_lab.objects import Key
from bookinfo_lab.scenarios.model import Counter, Log, Traffic


class NotObservableError(Exception):
    """Here this cannot be seen; the message says why. It is reported as not checked, never as passed."""


class Target(Protocol):
    """A running Bookinfo."""

    def bring(self, documents: Sequence[Document], without: Collection[Key] = ()) -> None:
        """Make the state what it was at the start, less `without`, plus `documents`; return when it is in effect."""

    def send(self, traffic: Traffic) -> list[Result]:
        """Send it and wait for all answers."""

    def count(self, counter: Counter) -> int:
        """What the counter stands at. Raises `NotObservableError`."""

    def log_mark(self, log: Log) -> object:
        """Where the log ends now. Raises `NotObservableError`."""

    def log_lines(self, log: Log, mark: object) -> int:
        """How many of the log's lines have come since. Raises `NotObservableError`."""

    def restore(self) -> None:
        """Make everything what it was before the first `bring`."""
