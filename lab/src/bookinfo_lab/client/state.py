"""The directory of a lab: it is private and in the XDG state directory.

See the XDG Base Directory Specification 0.8 for `$XDG_STATE_HOME`.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bookinfo_lab.errors import LabError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class LabFolder:
    """The files of the lab `name`."""

    name: str
    path: Path

    @property
    def control_socket(self) -> str:
        """The name of the control socket in `path`."""
        return "control.sock"

    @property
    def log(self) -> Path:
        """The output of a supervisor that runs in the background."""
        return self.path / "supervisor.log"

    @property
    def proxies(self) -> Path:
        """The directory with one directory for each workload and gateway."""
        return self.path / "proxies"

    @property
    def previous(self) -> Path:
        """The logs of the previous run, in the same directories as in `proxies`."""
        return self.path / "previous"


def lab_folder(name: str, environ: Mapping[str, str]) -> LabFolder:
    """Return the directory of the lab `name`, without creating it. Raise `LabError` if the name is invalid."""
    if not _NAME.fullmatch(name):
        raise LabError(f"lab name: invalid value {name!r}; use 1 to 32 of a-z, 0-9 and -, with no - at the ends")
    return LabFolder(name, state_home(environ) / "bookinfo" / name)


def state_home(environ: Mapping[str, str]) -> Path:
    """Return the XDG state directory of the user. Raise `LabError` if the environment does not define it."""
    # The specification requires that a relative XDG_STATE_HOME is ignored.
    base = Path(environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():
        home = environ.get("HOME", "")
        if not Path(home).is_absolute():
            raise LabError(
                "neither XDG_STATE_HOME nor HOME is an absolute path; set XDG_STATE_HOME to a writable directory"
            )
        base = Path(home) / ".local/state"
    return base


def create(folder: LabFolder) -> None:
    """Create the directory with access only for its owner.

    Raises:
        LabError: the directory is not writable.
    """
    try:
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.path.chmod(0o700)
        probe = folder.path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise LabError(
            f"{folder.path}: not writable ({error.strerror}); set XDG_STATE_HOME to a writable directory"
        ) from error


def lock(folder: LabFolder) -> int | None:
    """Acquire the lock of the lab's only supervisor: return a descriptor to keep open, or None if it is in use.

    The kernel releases the lock when the process ends, so a crashed lab never blocks the next one.
    """
    descriptor = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def supervisor_pid(folder: LabFolder) -> int | None:
    """Return the id of the supervisor's process, or None if the lab is down."""
    try:
        descriptor = os.open(folder.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LabError(
            f"{folder.path} is unreadable ({error.strerror}), because another user owns it; set XDG_STATE_HOME"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 20) or b"0")
    else:
        return None
    finally:
        os.close(descriptor)


def clean(folder: LabFolder) -> None:
    """Remove the files of the previous run, except its logs. The caller must own the lock."""
    close(folder)
    if folder.proxies.exists():
        shutil.rmtree(folder.previous, ignore_errors=True)
        folder.proxies.rename(folder.previous)


def close(folder: LabFolder) -> None:
    """Remove all files except the logs."""
    (folder.path / folder.control_socket).unlink(missing_ok=True)
    for file in (folder.proxies).glob("**/*"):
        if not file.is_dir() and not file.name.endswith((".log", ".log.1")):
            file.unlink(missing_ok=True)
