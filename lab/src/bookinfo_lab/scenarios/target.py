"""Where scenarios run: what the runner needs of a lab or a cluster."""

from collections.abc import Collection, Sequence
from typing import Protocol

from bookinfo_client.send import Result
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key
from bookinfo_lab.scenarios.model import Counter, Log, Mesh, Traffic


class NotObservableError(Exception):
    """Here this cannot be seen; the message says why. It is reported as not checked, never as passed."""


class Target(Protocol):
    """A running Bookinfo."""

    @property
    def mesh(self) -> Mesh:
        """What stands between its workloads."""

    @property
    def settle(self) -> float:
        """Seconds for which a change may not yet be in effect everywhere when `bring` returns."""

    def bring(self, documents: Sequence[Document], without: Collection[Key] = ()) -> None:
        """Make the state what it was at the start, less `without`, plus `documents`.

        Raises:
            NotObservableError: something that would have to change must not be touched.
        """

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
