"""The client process waits for a signal."""

import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_process_runs_until_a_signal_and_exits_with_0(stop: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-m", "bookinfo_client"]) as process:
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(stop)
        assert process.wait(timeout=10) == 0
