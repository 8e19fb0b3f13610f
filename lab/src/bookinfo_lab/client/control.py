"""Asking a running lab, from the command's side."""

import errno
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from bookinfo_lab.client import http, state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError

_CHANGE_WITHIN = 90.0
"""Seconds for an answer: an applied pod may take 30 to become ready, and a retired one 15 to end."""

_MANIFESTS = (".yaml", ".yml", ".json")


async def ask(folder: LabFolder, path: str, *, method: str = "GET", body: bytes = b"") -> Any:
    """The JSON answer of the lab's supervisor.

    Raises:
        LabError: the lab is not running, or says what is wrong with the request.
    """
    try:
        response = await http.request(
            folder.path / folder.control_socket, path, method=method, body=body, within=_CHANGE_WITHIN
        )
    except TimeoutError:
        raise LabError(f"lab {folder.name!r} does not answer; see {folder.log} or `bookinfo logs`") from None
    except OSError:
        pid = state.supervisor_pid(folder)
        what = "is starting or stopping; try again" if pid else "is not running: start it with `bookinfo up`"
        raise LabError(f"lab {folder.name!r} {what}") from None
    if response.status == 422:
        raise LabError(json.loads(response.body)["error"])
    if response.status != 200:
        raise LabError(f"lab {folder.name!r} answered {response.status} to {path}; see {folder.log}")
    return json.loads(response.body)


async def admin(folder: LabFolder, workload: str, path: str) -> str:
    """What the admin interface of a workload's or the gateway's Envoy answers at `path`.

    Raises:
        LabError: there is no such workload, or no Envoy beside it, or it knows no such path.
    """
    told = await ask(folder, f"/workloads/{workload}")
    if not told["admin"]:
        raise LabError(f"{told['name']} has no sidecar")
    try:
        response = await http.request(Path(told["admin"]), "/" + path.removeprefix("/"))
    except (OSError, TimeoutError):
        raise LabError(f"{told['name']}'s Envoy does not answer; see `bookinfo logs --sidecar {workload}`") from None
    if response.status != 200:
        reason = response.text.strip().partition("\n")[0]
        raise LabError(f"Envoy answered {response.status} to {path}: {reason}; /help lists its paths")
    return response.text


def sources(name: str, standard_input: TextIO) -> Iterator[dict[str, str]]:
    """The texts of a file, of a folder's manifests, or of standard input (`-`).

    Raises:
        LabError: it cannot be read, or is a folder without a manifest.
    """
    if name == "-":
        yield {"source": "standard input", "text": _read("standard input", standard_input.read)}
        return
    for file in _files(Path(name)):
        yield {"source": str(file), "text": _read(str(file), partial(file.read_text, encoding="utf-8"))}


def _files(path: Path) -> list[Path]:
    try:
        files = sorted(file for file in path.iterdir() if file.suffix in _MANIFESTS) if path.is_dir() else [path]
    except OSError as error:
        raise _unreadable(str(path), error) from error
    if not files:
        raise LabError(f"{path}: no {', '.join(_MANIFESTS)} file is in it; name a folder of manifests, or a file")
    return files


def _read(source: str, read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError as error:
        raise _unreadable(source, error) from error
    except UnicodeDecodeError:
        raise LabError(f"{source}: is not UTF-8 text; write the manifest anew as UTF-8") from None


def _unreadable(source: str, error: OSError) -> LabError:
    hint = {
        errno.ENOENT: "correct the name, or the folder in which you are",
        errno.EACCES: "make it readable for you",
    }
    return LabError(f"{source}: {error.strerror}; {hint.get(error.errno or 0, 'name a file, a folder, or -')}")
