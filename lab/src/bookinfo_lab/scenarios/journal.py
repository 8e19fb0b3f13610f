"""What a verification found in a cluster, on disk before it changes anything.

So what was there can be put back even if the verification was killed or its cluster was out of reach: the next one does
so first.
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

from bookinfo_lab.client.state import state_home
from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.store import Key
from bookinfo_lab.scenarios.kubectl import Json


@dataclass(frozen=True)
class Touched:
    """An object and what it was before."""

    body: Json  # enough of it to find it
    original: Json | None


class Journal:
    """The file at `path`, locked until it is closed: two verifications of one namespace would spoil each other.

    Raises:
        LabError: another one has it, or it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.ExitStack() as stack:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = stack.enter_context(path.with_suffix(".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._touched = _read(path)
            except BlockingIOError:
                raise LabError("another verification of this namespace is under way: wait for it") from None
            except OSError as error:
                raise LabError(
                    f"{path}: {error.strerror}; set XDG_STATE_HOME to a folder that you may write"
                ) from error
            except (ValueError, TypeError) as error:
                raise LabError(f"{path}: not what a verification left ({error}); move it away") from error
            self._lock = stack.pop_all()

    def close(self) -> None:
        """Let others have it."""
        self._lock.close()

    def __contains__(self, identity: Key) -> bool:
        return identity in self._touched

    def __getitem__(self, identity: Key) -> Touched:
        return self._touched[identity]

    def __bool__(self) -> bool:
        return bool(self._touched)

    def latest_first(self) -> Iterator[tuple[Key, Touched]]:
        """What was touched, in the order in which it is best put back: what refers to something goes before it."""
        return iter(list(reversed(self._touched.items())))

    def add(self, identity: Key, touched: Touched) -> None:
        """Remember an object that is about to be changed."""
        self._touched[identity] = touched
        self._write()

    def remove(self, identity: Key) -> None:
        """Forget an object that is what it was before."""
        del self._touched[identity]
        self._write()

    def _write(self) -> None:
        if not self._touched:
            self._path.unlink(missing_ok=True)
            return
        rows = [[identity, touched.body, touched.original] for identity, touched in self._touched.items()]
        partial = self._path.with_suffix(".new")
        partial.touch(mode=0o600)  # a Secret may be among them
        with partial.open("w") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)


def _read(path: Path) -> dict[Key, Touched]:
    if not path.exists():
        return {}
    found: dict[Key, Touched] = {}
    for (group, kind, namespace, name), body, original in json.loads(path.read_text()):
        found[group, kind, namespace, name] = Touched(body, original)
    return found


def journal_path(context: str, namespace: str, environ: Mapping[str, str]) -> Path:
    """Where the journal of that namespace of that kubectl context is.

    Raises:
        LabError: there is no folder for it.
    """
    # A context's name may hold anything; the digest keeps two of them apart that look alike afterwards.
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{context}-{namespace}")[:60]
    digest = hashlib.sha256(f"{context}\n{namespace}".encode()).hexdigest()[:12]
    return state_home(environ) / "bookinfo-clusters" / f"{readable}-{digest}.json"
