"""A running lab as a target."""

import asyncio
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bookinfo_client.send import Result, send
from bookinfo_lab.client import control, http
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError
from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.conventions import METRICS_PATH, METRICS_PORT
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios import proxy_statistics
from bookinfo_lab.scenarios.model import Browser, Counter, LogPattern, Mesh, Traffic
from bookinfo_lab.scenarios.request_plans import browser_plan, pod_plan

_Objects = dict[Key, Document]


class LabTarget:
    """The lab in `folder`. `start` contains the objects that a lab starts with."""

    mesh = Mesh.SIDECAR
    propagation_seconds = 0.0

    def __init__(self, folder: LabFolder, start: Sequence[Document]) -> None:
        """Record the objects that are applied.

        Raises:
            LabError: the lab is not running.
        """
        self._folder = folder
        self._start: _Objects = {key(document): document for document in start}
        self._current = self._original = self._read_objects()
        address = urlsplit(self._request("/status")["url"])
        self._gateway = f"{address.scheme}://{address.netloc}"

    def set_state(self, documents: Sequence[Document], removed: Collection[Key] = ()) -> None:
        """See `Target`. It is one change: every Envoy uses the new rules when the lab responds."""
        start = {identity: document for identity, document in self._start.items() if identity not in removed}
        self._change_to(start | {key(document): document for document in documents})

    def restore(self) -> None:
        """See `Target`. Objects that others applied meanwhile are removed as well."""
        # The lab makes one change at a time. This empty change waits for one that an interrupt left running.
        self._exchange([], [])
        self._current = self._read_objects()
        self._change_to(self._original)

    def send(self, traffic: Traffic) -> list[Result]:
        """See `Target`. A pod's requests use its sidecar's outbound port, as those of `bookinfo exec` do."""
        if isinstance(traffic.caller, Browser):
            return send(browser_plan(self._gateway, traffic, {}), {})
        env = self._request(f"/workloads/{traffic.caller.deployment}")["env"]
        return send(pod_plan(traffic), {"http": env["http_proxy"], "https": env["https_proxy"]})

    def count(self, counter: Counter) -> int:
        """See `Target`."""
        texts = (
            self._application_metrics(pod) if counter.application else self._proxy_stats(pod, counter.pattern)
            for pod in self._pods(counter.workload)
        )
        return sum(proxy_statistics.total(text, counter) for text in texts)

    def log_mark(self, log: LogPattern) -> object:
        """See `Target`."""
        return {path: path.stat().st_size for path in self._logs(log)}

    def log_lines(self, log: LogPattern, mark: object) -> int:
        """See `Target`."""
        sizes: dict[Path, int] = mark if isinstance(mark, dict) else {}
        text = "".join(path.read_bytes()[sizes.get(path, 0) :].decode(errors="replace") for path in self._logs(log))
        return proxy_statistics.lines(text, log)

    def _proxy_stats(self, pod: str, pattern: str) -> str:
        return asyncio.run(control.admin(self._folder, pod, f"/stats?filter={quote(pattern)}"))

    def _application_metrics(self, pod: str) -> str:
        """Read the metrics as a scraper without a certificate does."""
        address = self._request(f"/workloads/{pod}")["address"]
        return asyncio.run(http.request((address, METRICS_PORT), METRICS_PATH)).text

    def _logs(self, log: LogPattern) -> list[Path]:
        directories = [Path(self._request(f"/workloads/{pod}")["folder"]) for pod in self._pods(log.workload)]
        return [directory / proxy_directory.ENVOY_LOG for directory in directories]

    def _pods(self, workload: str) -> list[str]:
        status = self._request("/status")
        if workload in [gateway["name"] for gateway in (status["gateway"], *status["gateways"])]:
            return [workload]
        found = [row["name"] for row in status["workloads"] if row["deployment"] == workload]
        if not found:
            raise LabError(f"workload {workload!r} not found")
        return found

    def _read_objects(self) -> _Objects:
        bodies = self._request("/objects")
        documents = [document for body in bodies for document in read_documents(json.dumps(body), "the lab")]
        return {key(document): document for document in documents}

    def _change_to(self, desired: _Objects) -> None:
        changed = [
            document
            for identity, document in desired.items()
            if identity not in self._current or self._current[identity].body != document.body
        ]
        deleted = [document for identity, document in self._current.items() if identity not in desired]
        if changed or deleted:
            self._exchange(changed, deleted)
        self._current = desired

    def _exchange(self, applied: Collection[Document], deleted: Collection[Document]) -> None:
        body = {"apply": _sources(applied), "delete": _sources(deleted)}
        self._request("/exchange", method="POST", body=json.dumps(body).encode())

    def _request(self, path: str, method: str = "GET", body: bytes = b"") -> Any:
        return asyncio.run(control.ask(self._folder, path, method=method, body=body))


def _sources(documents: Collection[Document]) -> list[dict[str, str]]:
    return [{"source": item.source, "text": json.dumps(item.body)} for item in documents]
