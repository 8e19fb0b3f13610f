"""The process from which the applications are forked: it has imported them all, so that each starts at once.

Six Python services import for some 0.7 s of processor time each, most of it the same libraries; a fork takes
milliseconds and shares the memory. Run as `python -m bookinfo_lab.runtime.zygote CHANNEL MODULE...` by
programs.py, which
sends requests over the socket with the descriptor CHANNEL. An application forked here runs as `python -m PACKAGE`
does, and is the supervisor's child, not this process'.
"""

import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from pathlib import Path

from bookinfo_lab.runtime import processes

REQUEST_BYTES = 65536


def main() -> None:
    """Serve until the supervisor closes the channel or dies."""
    supervisor = os.getppid()
    channel = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()  # what is shared stays shared: collections would write into it
    while request := channel.recv(REQUEST_BYTES):
        if _fork(channel, supervisor):
            channel.close()
            _run(**json.loads(request))
            return


def _fork(channel: socket.socket, supervisor: int) -> bool:
    """Make a new child of the supervisor, and tell it the pid. True in that child."""
    # Twice, so that the second is an orphan, which falls to the supervisor (see processes.adopt_orphans).
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.close(writing)
        answer = os.read(reading, 20)
        os.close(reading)
        os.waitpid(between, 0)  # from now on the supervisor is the parent
        channel.send(answer)
        return False
    between = os.getpid()
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        os.write(writing, str(pid).encode())
        os._exit(0)
    os.close(reading)
    os.close(writing)
    while os.getppid() == between:
        time.sleep(0.0005)
    processes.die_with(supervisor)
    return True


def _run(package: str, folder: str, env: dict[str, str], log: str) -> None:
    with processes.open_log(Path(log)) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file here
    processes.call_itself(package.removeprefix("bookinfo_"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    del sys.modules[f"{package}.__main__"]  # it runs anew, as __main__
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
