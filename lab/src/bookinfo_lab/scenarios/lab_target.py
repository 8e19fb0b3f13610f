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
from bookinfo_lab.scenarios import counting
from bookinfo_lab.scenarios.model import Browser, Counter, Log, Mesh, Traffic
from bookinfo_lab.scenarios.plans import browser_plan, pod_plan

_Objects = dict[Key, Document]


class LabTarget:
    """The lab in `folder`. `start` is what its baseline consists of: the objects that a lab starts with."""

    mesh = Mesh.SIDECAR
    settle = 0.0

    def __init__(self, folder: LabFolder, start: Sequence[Document]) -> None:
        """Remember what is applied.

        Raises:
            LabError: the lab is not running.
        """
        self._folder = folder
        self._start: _Objects = {key(document): document for document in start}
        self._applied = self._found = self._objects()
        address = urlsplit(self._ask("/status")["url"])
        self._gateway = f"{address.scheme}://{address.netloc}"

    def bring(self, documents: Sequence[Document], without: Collection[Key] = ()) -> None:
        """See `Target`. One change: Envoys run the new rules when the lab answers."""
        start = {identity: document for identity, document in self._start.items() if identity not in without}
        self._become(start | {key(document): document for document in documents})

    def restore(self) -> None:
        """See `Target`. What somebody else applied meanwhile goes as well."""
        # A change that an interrupt left behind is still being made; the lab makes one after the other.
        self._exchange([], [])
        self._applied = self._objects()
        self._become(self._found)

    def send(self, traffic: Traffic) -> list[Result]:
        """See `Target`. A pod's requests go out by its sidecar's outbound port, as those of `bookinfo exec` do."""
        if isinstance(traffic.caller, Browser):
            return send(browser_plan(self._gateway, traffic, {}), {})
        env = self._ask(f"/workloads/{traffic.caller.deployment}")["env"]
        plan = pod_plan(traffic)
        return send(plan, {"http": env["http_proxy"], "https": env["https_proxy"]})

    def count(self, counter: Counter) -> int:
        """See `Target`."""
        texts = (
            self._metrics(pod) if counter.application else self._stats(pod, counter.pattern)
            for pod in self._pods(counter.workload)
        )
        return sum(counting.total(text, counter) for text in texts)

    def log_mark(self, log: Log) -> object:
        """See `Target`."""
        return {path: path.stat().st_size for path in self._logs(log)}

    def log_lines(self, log: Log, mark: object) -> int:
        """See `Target`."""
        sizes: dict[Path, int] = mark if isinstance(mark, dict) else {}
        text = "".join(path.read_bytes()[sizes.get(path, 0) :].decode(errors="replace") for path in self._logs(log))
        return counting.lines(text, log)

    def _stats(self, pod: str, pattern: str) -> str:
        return asyncio.run(control.admin(self._folder, pod, f"/stats?filter={quote(pattern)}"))

    def _metrics(self, pod: str) -> str:
        """As a scraper without an identity reads it."""
        address = self._ask(f"/workloads/{pod}")["address"]
        return asyncio.run(http.request((address, METRICS_PORT), METRICS_PATH)).text

    def _logs(self, log: Log) -> list[Path]:
        folders = [Path(self._ask(f"/workloads/{pod}")["folder"]) for pod in self._pods(log.workload)]
        return [folder / proxy_directory.ENVOY_LOG for folder in folders]

    def _pods(self, workload: str) -> list[str]:
        status = self._ask("/status")
        if workload in [gateway["name"] for gateway in (status["gateway"], *status["gateways"])]:
            return [workload]
        found = [row["name"] for row in status["workloads"] if row["deployment"] == workload]
        if not found:
            raise LabError(f"there is no workload {workload!r}")
        return found

    def _objects(self) -> _Objects:
        bodies = self._ask("/objects")
        documents = [document for body in bodies for document in read_documents(json.dumps(body), "the lab")]
        return {key(document): document for document in documents}

    def _become(self, wanted: _Objects) -> None:
        changed = [
            document
            for identity, document in wanted.items()
            if identity not in self._applied or self._applied[identity].body != document.body
        ]
        gone = [document for identity, document in self._applied.items() if identity not in wanted]
        if changed or gone:
            self._exchange(changed, gone)
        self._applied = wanted

    def _exchange(self, applied: Collection[Document], deleted: Collection[Document]) -> None:
        body = {"apply": _sources(applied), "delete": _sources(deleted)}
        self._ask("/exchange", method="POST", body=json.dumps(body).encode())

    def _ask(self, path: str, method: str = "GET", body: bytes = b"") -> Any:
        return asyncio.run(control.ask(self._folder, path, method=method, body=body))


def _sources(documents: Collection[Document]) -> list[dict[str, str]]:
    return [{"source": item.source, "text": json.dumps(item.body)} for item in documents]
