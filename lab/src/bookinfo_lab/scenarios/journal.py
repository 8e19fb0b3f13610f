"""The originals of all objects that a verification changes, on disk before it changes them.

If a verification is killed or loses its cluster, the next one restores the objects from here.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bookinfo_kubectl import Json
from bookinfo_lab.client.state import state_home
from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.store import Key


@dataclass(frozen=True)
class ChangedObject:
    """An object and its original."""

    body: Json  # enough to find the object
    original: Json | None  # None: it did not exist


class Journal:
    """The journal file at `path`, locked until `close`: only one verification of a namespace runs at a time.

    Raises:
        LabError: another verification has the lock, or the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.ExitStack() as stack:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = stack.enter_context(path.with_suffix(".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._changed = _read(path)
            except BlockingIOError:
                raise LabError("another verification of this namespace is running; wait until it ends") from None
            except OSError as error:
                raise LabError(f"{path}: {error.strerror}; set XDG_STATE_HOME to a writable directory") from error
            except (ValueError, TypeError) as error:
                raise LabError(f"{path}: invalid journal ({error}); move the file away") from error
            self._lock = stack.pop_all()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def __contains__(self, identity: Key) -> bool:
        return identity in self._changed

    def __getitem__(self, identity: Key) -> ChangedObject:
        return self._changed[identity]

    def __bool__(self) -> bool:
        return bool(self._changed)

    def latest_first(self) -> Iterator[tuple[Key, ChangedObject]]:
        """Yield the changed objects in the order of restoration: an object precedes the objects that it refers to."""
        return iter(list(reversed(self._changed.items())))

    def add(self, identity: Key, changed: ChangedObject) -> None:
        """Record an object before it is changed."""
        self._changed[identity] = changed
        self._write()

    def remove(self, identity: Key) -> None:
        """Remove an object that is restored."""
        del self._changed[identity]
        self._write()

    def _write(self) -> None:
        if not self._changed:
            self._path.unlink(missing_ok=True)
            return
        rows = [[identity, changed.body, changed.original] for identity, changed in self._changed.items()]
        partial = self._path.with_suffix(".new")
        partial.touch(mode=0o600)  # a Secret may be among the objects
        with partial.open("w") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)


def _read(path: Path) -> dict[Key, ChangedObject]:
    if not path.exists():
        return {}
    changed: dict[Key, ChangedObject] = {}
    for (group, kind, namespace, name), body, original in json.loads(path.read_text()):
        changed[group, kind, namespace, name] = ChangedObject(body, original)
    return changed


def journal_path(context: str, namespace: str, environ: Mapping[str, str]) -> Path:
    """Return the path of the journal for a namespace of a kubectl context.

    Raises:
        LabError: there is no directory for it.
    """
    # A context's name may contain any character. The digest distinguishes two names that become equal here.
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{context}-{namespace}")[:60]
    digest = hashlib.sha256(f"{context}\n{namespace}".encode()).hexdigest()[:12]
    return state_home(environ) / "bookinfo-clusters" / f"{readable}-{digest}.json"
