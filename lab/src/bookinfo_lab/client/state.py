"""Where a lab keeps its files: a private folder under the XDG state directory, one per lab.

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
        """The control socket's name in `path`."""
        return "control.sock"

    @property
    def log(self) -> Path:
        """What a detached supervisor prints."""
        return self.path / "supervisor.log"

    @property
    def proxies(self) -> Path:
        """Where each workload and gateway has a folder of its own."""
        return self.path / "proxies"

    @property
    def previous(self) -> Path:
        """The logs of the run before, in the folders that `proxies` had then."""
        return self.path / "previous"


def lab_folder(name: str, environ: Mapping[str, str]) -> LabFolder:
    """The folder of the lab `name`; nothing is created."""
    if not _NAME.fullmatch(name):
        raise LabError(f"lab name {name!r}: use 1 to 32 of a-z, 0-9 and - (not at the ends)")
    return LabFolder(name, state_home(environ) / "bookinfo" / name)


def state_home(environ: Mapping[str, str]) -> Path:
    """Where this user's programs keep what they must find again. Raises `LabError`."""
    # A relative XDG_STATE_HOME is to be ignored, says the specification.
    base = Path(environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():
        home = environ.get("HOME", "")
        if not Path(home).is_absolute():
            raise LabError(
                "neither XDG_STATE_HOME nor HOME names a folder: set XDG_STATE_HOME to one that you may write"
            )
        base = Path(home) / ".local/state"
    return base


def create(folder: LabFolder) -> None:
    """Make the folder, for its owner's eyes only.

    Raises:
        LabError: it cannot be made or written.
    """
    try:
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.path.chmod(0o700)
        probe = folder.path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise LabError(
            f"{folder.path}: not writable ({error.strerror}); set XDG_STATE_HOME to a folder that you may write"
        ) from error


def lock(folder: LabFolder) -> int | None:
    """Become the lab's one supervisor: a descriptor to keep open, or None when another process is it.

    The kernel releases the lock when the holder dies, so a dead lab never blocks the next.
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
    """The process that holds the lab's lock, or None when the lab is down."""
    try:
        descriptor = os.open(folder.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LabError(
            f"{folder.path} cannot be read ({error.strerror}): it is another user's; set XDG_STATE_HOME"
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
    """Remove what an earlier run left; the logs of the last one are kept. Only for the holder of the lock."""
    close(folder)
    if folder.proxies.exists():
        shutil.rmtree(folder.previous, ignore_errors=True)
        folder.proxies.rename(folder.previous)


def close(folder: LabFolder) -> None:
    """Remove all that only a running lab needs; the logs stay for whoever asks why it ended."""
    (folder.path / folder.control_socket).unlink(missing_ok=True)
    for file in (folder.proxies).glob("**/*"):
        if not file.is_dir() and not file.name.endswith((".log", ".log.1")):
            file.unlink(missing_ok=True)
