"""`bookinfo up`: one lab from its start to its end, in one process that owns all the others."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bookinfo_lab import repository
from bookinfo_lab.client import state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError, lab_errors
from bookinfo_lab.observe import span_forwarder, telemetry
from bookinfo_lab.observe.span_forwarder import Onward
from bookinfo_lab.resources import images
from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.store import ObjectStore
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.runtime import addresses, envoy
from bookinfo_lab.runtime.gateways import Running
from bookinfo_lab.runtime.lab import Lab, Machine
from bookinfo_lab.runtime.pods import Pod

if TYPE_CHECKING:
    from bookinfo_lab.observe.observations import Observations

GATEWAY_HOST = "127.0.0.1"


class Page(Protocol):
    """A web page that shows the running lab. It listens already, and serves requests when `serve` runs."""

    @property
    def url(self) -> str:
        """The page's address."""

    async def serve(
        self,
        lab: Lab,
        name: str,
        start: ObjectStore,
        status: Callable[[], dict[str, Any]],
        observations: "Observations",
    ) -> None:
        """Serve requests until the task is cancelled. `start` contains the objects with which the lab was started."""

    def close(self) -> None:
        """Close the listening socket."""


@dataclass(frozen=True)
class Settings:
    """The options of `bookinfo up`."""

    folder: LabFolder
    gateway_port: int  # 0: any free port
    environ: Mapping[str, str]
    open_page: Callable[[], Page] | None = None  # None: no page


async def run(settings: Settings, report: Callable[[str], None]) -> None:
    """Run a lab until SIGINT, SIGTERM or SIGHUP; a second such signal ends it without grace.

    Raises:
        LabError, ManifestError: it cannot be started; nothing is left behind.
    """
    folder, environ = settings.folder, settings.environ
    home = repository.find(environ)
    known_images = images.read(home / repository.IMAGES)
    binary = envoy.find(environ)
    wanted = initial_objects(home)
    endpoint = span_forwarder.endpoint(environ)
    spans_to = Onward(endpoint, report, span_forwarder.headers(environ)) if endpoint else None
    state.create(folder)
    if state.lock(folder) is None:
        raise LabError(lab_errors.lab_already_running(folder.name, state.supervisor_pid(folder)))
    state.clean(folder)
    with (
        contextlib.ExitStack() as stack,
        contextlib.closing(addresses.claim_port(GATEWAY_HOST, settings.gateway_port)) as gateway,
        contextlib.closing(addresses.reserve(f"{os.getuid()} {folder.name}")) as own,
        contextlib.closing(telemetry.listen(own.take(), spans_to)) as told,
    ):
        port = gateway.getsockname()[1]
        machine = Machine(folder.proxies, binary, known_images, own, environ, (GATEWAY_HOST, port), told)
        page = stack.enter_context(contextlib.closing(settings.open_page())) if settings.open_page else None
        try:
            await _Supervisor(Lab(machine, report), folder, port, page, report).run(wanted)
        finally:
            state.close(folder)


def initial_objects(home: Path) -> ObjectStore:
    """What a lab starts with: the project's workloads, the gateway's rules, and the versions that rules can name."""
    documents = [
        document
        for file in (repository.WORKLOADS, repository.GATEWAY, repository.SUBSETS)
        for document in read_documents((home / file).read_text(), file)
    ]
    return ObjectStore().apply(documents)[0]


class _Supervisor:
    def __init__(
        self, lab: Lab, folder: LabFolder, port: int, page: Page | None, report: Callable[[str], None]
    ) -> None:
        self._lab = lab
        self._folder = folder
        self._url = f"http://localhost:{port}/productpage"
        self._page = page
        self._page_url = page.url if page else None
        self._report = report
        self._state = "starting"
        self._stop = asyncio.Event()

    async def run(self, wanted: ObjectStore) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        self._report(f"starting {', '.join(_deployments(wanted))} and the gateway (Ctrl-C stops them)")
        began = time.monotonic()
        stopping = asyncio.create_task(self._stop.wait())
        starting = asyncio.create_task(self._start(wanted))
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._state = "ready"
                self._report(f"Bookinfo is up after {time.monotonic() - began:.1f} s: {self._url}")
                if self._page_url:
                    self._report(f"watch it, and run scenarios, at {self._page_url}")
                done, _ = await asyncio.wait([stopping, *self._lab.tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stopping}:
                    task.result()
        finally:
            self._state = "stopping"
            self._report("stopping")
            starting.cancel()
            stopping.cancel()
            await asyncio.wait([starting])
            await self._lab.stop()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._lab.kill()
        self._stop.set()

    async def _start(self, wanted: ObjectStore) -> None:
        starting = asyncio.create_task(self._lab.start(wanted))
        await asyncio.sleep(0)  # the processes start now; what follows is loaded while they do
        from bookinfo_lab.observe.observations import Observations
        from bookinfo_lab.runtime import control_api

        seen = self._lab.machine.telemetry
        observations = Observations(self._lab.topology, seen.requests, seen.spans)
        path = self._folder.path / self._folder.control_socket
        server = control_api.serve(self._lab, self._status, observations, path)
        self._lab.tasks.append(asyncio.create_task(server.run_until_cancelled()))
        self._lab.tasks.append(asyncio.create_task(seen.serve(self._lab.topology)))
        if self._page:
            page = self._page.serve(self._lab, self._folder.name, wanted, self._status, observations)
            self._lab.tasks.append(asyncio.create_task(page))
        await starting

    def _status(self) -> dict[str, Any]:
        lab = self._lab
        topology = lab.topology()
        return {
            "lab": self._folder.name,
            "state": self._state,
            "url": self._url,
            "watch": self._page_url,
            "pid": os.getpid(),
            "telemetry": lab.machine.telemetry.url,
            "gateway": _shown(lab.ingress),
            "gateways": [_shown(item) for item in lab.gateways.running.values() if item is not lab.ingress],
            "workloads": [pod_status(pod, topology) for pod in lab.pods.values()],
        }


def pod_status(pod: Pod, topology: Topology) -> dict[str, Any]:
    """Return the row of `bookinfo status` for a pod."""
    service = topology.service_of(pod.workload)
    return {
        "name": pod.workload.name,
        "deployment": pod.workload.deployment,
        "service": service.name if service else "",
        "version": pod.workload.version,
        "address": pod.workload.address,
        "pid": pod.app.pid,
        "sidecar_pid": pod.sidecar.pid if pod.sidecar else None,
        "state": pod.state,
        "restarts": sum(process.restarts for process in pod.processes),
    }


def _shown(item: Running) -> dict[str, Any]:
    return {
        "name": item.gateway.name,
        "address": item.gateway.address,
        "pid": item.envoy.pid,
        "state": item.envoy.state,
        "restarts": item.envoy.restarts,
        "urls": item.urls,
    }


def _deployments(wanted: ObjectStore) -> list[str]:
    return [document.name for document in wanted.workloads if document.kind == "Deployment"]
