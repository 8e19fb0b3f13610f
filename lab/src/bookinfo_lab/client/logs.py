"""Read the log files of workloads."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.proxy_directory import APP_LOG, ENVOY_LOG

_POLL = 0.2


def find(proxies: Path, workload: str | None, *, sidecar: bool) -> list[Path]:
    """Return the logs of one workload (the name of a pod, or its prefix) or of all. A gateway has only Envoy's log.

    Raises:
        LabError: no log is found.
    """
    name = ENVOY_LOG if sidecar else APP_LOG
    try:
        logs = sorted(proxies.glob(f"*/{name}"))
        if workload is not None and not sidecar and not (proxies / workload / APP_LOG).exists():
            logs += proxies.glob(f"{workload}/{ENVOY_LOG}")
    except PermissionError as error:
        raise LabError(
            f"{proxies} is unreadable ({error.strerror}); set XDG_STATE_HOME to your own state directory"
        ) from error
    if workload is not None:
        logs = [log for log in logs if log.parent.name == workload or log.parent.name.startswith(f"{workload}-")]
    if not logs:
        raise LabError(
            f"no log of {workload or 'any workload'} found in {proxies}; `bookinfo status` lists the workloads"
        )
    return logs


def read(logs: Sequence[Path], *, follow: bool) -> Iterator[str]:
    """Yield the lines of the logs. If there are several logs, each line starts with the name of its workload."""
    offsets = dict.fromkeys(logs, 0)
    while True:
        for log in logs:
            prefix = f"{log.parent.name}: " if len(logs) > 1 else ""
            text, offsets[log] = _lines_from(log, offsets[log], partial=not follow)
            for line in text.splitlines():
                yield prefix + line
        if not follow:
            return
        time.sleep(_POLL)


def _lines_from(log: Path, offset: int, *, partial: bool) -> tuple[str, int]:
    """Return the text after `offset` and its end offset, with or without an incomplete last line."""
    try:
        with log.open("rb") as file:
            if log.stat().st_size < offset:  # the log was rotated
                offset = 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return "", offset
    if not partial:
        data = data[: data.rfind(b"\n") + 1]
    return data.decode(errors="replace"), offset + len(data)
