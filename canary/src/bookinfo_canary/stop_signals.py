"""Signals that stop the controller without interrupting a change or a rollback."""

import signal
import threading
import time
from types import FrameType

from bookinfo_canary.errors import StoppedError

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """Records stop signals. They take effect only in `wait`, so they never interrupt a rollback."""

    def __init__(self) -> None:
        self._received = threading.Event()
        self._name = ""

    def install(self) -> None:
        """Install the handlers. Call this in the main thread."""
        for number in _STOP_SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: the process outlives its terminal.
            signal.signal(number, self._record)

    @staticmethod
    def ignore() -> None:
        """Ignore further signals at exit. Otherwise a late signal would replace the exit code of the result."""
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def now(self) -> float:
        """Return the seconds of a monotonic clock."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait until the time is over or a stop signal arrives.

        Raises:
            StoppedError: a stop signal arrived, now or earlier.
        """
        if self._received.wait(seconds):
            raise StoppedError(f"it was stopped by {self._name}")

    def sleep(self, seconds: float) -> None:
        """Wait, regardless of stop signals."""
        time.sleep(seconds)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self._name = signal.Signals(number).name
        self._received.set()
