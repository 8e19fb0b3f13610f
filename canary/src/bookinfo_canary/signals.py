"""Being told to end, without being torn out of the middle of a change."""

import signal
import threading
import time
from types import FrameType

from bookinfo_canary.errors import StoppedError

_ASKED_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Signals are noted, and acted on where the program waits: the way back is never interrupted."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._name = ""

    def listen(self) -> None:
        """From now on take note instead of dying. Only in the main thread."""
        for number in _ASKED_BY:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: it is to outlive its terminal
            signal.signal(number, self._note)

    @staticmethod
    def ignore() -> None:
        """At the end: Python itself would let a late signal change the exit status that says how it went."""
        for number in _ASKED_BY:
            signal.signal(number, signal.SIG_IGN)

    def now(self) -> float:
        """Seconds of a clock that only runs forward."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, or end at once when that was asked for.

        Raises:
            StoppedError: it was.
        """
        if self._asked.wait(seconds):
            raise StoppedError(f"it was stopped by {self._name}")

    def sleep(self, seconds: float) -> None:
        """Wait, whatever was asked for."""
        time.sleep(seconds)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._name = signal.Signals(number).name
        self._asked.set()
