"""Where scenarios run: the interface that the runner needs of a lab or a cluster."""

from collections.abc import Collection, Sequence
from typing import Protocol

from bookinfo_client.send import Result
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key
from bookinfo_lab.scenarios.model import Counter, LogPattern, Mesh, Traffic


class NotObservableError(Exception):
    """The target cannot show this. The message is the reason. The claim is reported as not checked."""


class Target(Protocol):
    """A running Bookinfo."""

    @property
    def mesh(self) -> Mesh:
        """The kind of mesh that connects its workloads."""

    @property
    def propagation_seconds(self) -> float:
        """How long a change may take to be in effect everywhere after `set_state` returns."""

    def set_state(self, documents: Sequence[Document], removed: Collection[Key] = ()) -> None:
        """Set the state to the target's initial state, without `removed`, plus `documents`.

        Raises:
            NotObservableError: an object that would change must not be touched.
        """

    def send(self, traffic: Traffic) -> list[Result]:
        """Send the traffic and wait for all responses."""

    def count(self, counter: Counter) -> int:
        """Return the counter's current value. Raises `NotObservableError`."""

    def log_mark(self, log: LogPattern) -> object:
        """Return the current end of the log. Raises `NotObservableError`."""

    def log_lines(self, log: LogPattern, mark: object) -> int:
        """Return the number of matching lines since `mark`. Raises `NotObservableError`."""

    def restore(self) -> None:
        """Restore the state before the first `set_state`."""
