"""The book service as a process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def test_process_listens_and_exits_with_0_on_sigterm(tmp_path: Path) -> None:
    socket = tmp_path / "books.sock"
    env = {**os.environ, "UDS": str(socket), "DRAIN_SECONDS": "0"}
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-m", "bookinfo_books"], env=env) as process:
        while not socket.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
