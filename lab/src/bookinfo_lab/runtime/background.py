"""Starting a lab that outlives the command, and stopping one."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from bookinfo_lab.client import control, state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError, lab_errors
from bookinfo_lab.runtime import processes

_UP_WITHIN = 60.0
_DOWN_WITHIN = 15.0
_POLL = 0.05
_ERROR = "bookinfo: "


def start(folder: LabFolder, options: Sequence[str], environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Start a lab in a session of its own, and return when it is ready.

    `options` are those of `bookinfo up`; `report` takes what it says.

    Raises:
        LabError: it did not start; what it said is in the error.
    """
    state.create(folder)
    if pid := state.supervisor_pid(folder):
        raise LabError(lab_errors.lab_already_running(folder.name, pid))
    command = [sys.executable, "-m", "bookinfo_lab", "up", *options, f"--lab={folder.name}"]
    if folder.log.exists():
        folder.log.replace(folder.log.with_name(f"{folder.log.name}.1"))
    descriptor = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        supervisor = subprocess.Popen(  # noqa: S603 - this program itself
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    reported = 0
    deadline = time.monotonic() + _UP_WITHIN
    ready = False
    while not ready:
        ready = _is_ready(folder)
        ended = supervisor.poll()
        lines = folder.log.read_text(errors="replace").splitlines()
        told = [line for line in lines if not line.startswith(_ERROR)]
        for line in told[reported:]:
            report(line)
        reported = len(told)
        if ended is not None:
            errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
            raise LabError(errors[-1] if errors else lab_errors.lab_exited(ended, str(folder.log)))
        if time.monotonic() > deadline:
            raise LabError(lab_errors.lab_not_ready(folder.name, _UP_WITHIN, str(folder.log)))
        time.sleep(_POLL)
    supervisor.returncode = 0  # it is to be left alone


def stop(folder: LabFolder) -> None:
    """Stop a running lab, and return when all of it has ended.

    Raises:
        LabError: it is not running, or does not end.
    """
    pid = state.supervisor_pid(folder)
    if pid is None:
        raise LabError(lab_errors.lab_not_running(folder.name))
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_WITHIN
    while state.supervisor_pid(folder) is not None:
        if time.monotonic() > deadline:
            last = " | ".join(processes.last_lines(folder.log, 3))
            raise LabError(lab_errors.lab_does_not_stop(folder.name, pid, last))
        time.sleep(_POLL)


def _is_ready(folder: LabFolder) -> bool:
    try:
        return bool(asyncio.run(control.ask(folder, "/status"))["state"] == "ready")
    except LabError:
        return False
