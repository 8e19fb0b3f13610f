"""The client lives until it is told to stop."""

import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_lives_until_it_is_told_to_stop_and_exits_0(stop: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-m", "bookinfo_client"]) as process:
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(stop)
        assert process.wait(timeout=10) == 0
