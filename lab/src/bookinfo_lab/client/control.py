"""Requests to the supervisor of a running lab and to its Envoys, and the manifests that a request contains."""

import errno
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from bookinfo_lab.client import http, state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError, lab_errors

_CHANGE_TIMEOUT_SECONDS = 90.0
"""The timeout in seconds: a new pod may need 30 s to become ready, and a removed pod 15 s to terminate."""

_MANIFESTS = (".yaml", ".yml", ".json")


async def ask(folder: LabFolder, path: str, *, method: str = "GET", body: bytes = b"") -> Any:
    """Send a request to the supervisor of the lab, and return the decoded JSON of the response.

    Raises:
        LabError: the lab does not run, or the supervisor rejects the request.
    """
    try:
        response = await http.request(
            folder.path / folder.control_socket, path, method=method, body=body, within=_CHANGE_TIMEOUT_SECONDS
        )
    except TimeoutError:
        raise LabError(f"lab {folder.name!r} does not respond; read {folder.log} or `bookinfo logs`") from None
    except OSError:
        if state.supervisor_pid(folder):
            raise LabError(f"lab {folder.name!r} is starting or stopping; try again") from None
        raise LabError(lab_errors.lab_not_running(folder.name)) from None
    if response.status == 422:
        raise LabError(json.loads(response.body)["error"])
    if response.status != 200:
        raise LabError(f"lab {folder.name!r} returned {response.status} for {path}; read {folder.log}")
    return json.loads(response.body)


async def admin(folder: LabFolder, workload: str, path: str) -> str:
    """Return the response of the admin interface of the Envoy of a workload or gateway.

    Raises:
        LabError: the workload is not found, it has no Envoy, or the path is unknown.
    """
    description = await ask(folder, f"/workloads/{workload}")
    if not description["admin"]:
        raise LabError(f"{description['name']} has no sidecar")
    try:
        response = await http.request(Path(description["admin"]), "/" + path.removeprefix("/"))
    except (OSError, TimeoutError):
        raise LabError(
            f"{description['name']}'s Envoy does not respond; read `bookinfo logs --sidecar {workload}`"
        ) from None
    if response.status != 200:
        reason = response.text.strip().partition("\n")[0]
        raise LabError(f"Envoy returned {response.status} for {path}: {reason}; /help lists the paths")
    return response.text


def sources(name: str, standard_input: TextIO) -> Iterator[dict[str, str]]:
    """Yield the text of a file, of the manifests in a directory, or of standard input (`-`).

    Raises:
        LabError: it is unreadable, or a directory without a manifest.
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
        raise LabError(
            f"{path}: the directory contains no {', '.join(_MANIFESTS)} file; use a directory with manifests, or a file"
        )
    return files


def _read(source: str, read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError as error:
        raise _unreadable(source, error) from error
    except UnicodeDecodeError:
        raise LabError(f"{source}: the text is not UTF-8; convert the file to UTF-8") from None


def _unreadable(source: str, error: OSError) -> LabError:
    hint = {
        errno.ENOENT: "correct the name, or change the working directory",
        errno.EACCES: "change its permissions",
    }
    return LabError(f"{source}: {error.strerror}; {hint.get(error.errno or 0, 'use a file, a directory, or -')}")
