"""One pod: an application and its sidecar, in a folder of their own."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bookinfo_lab.client import http
from bookinfo_lab.observe.recorder import Recorder
from bookinfo_lab.observe.telemetry import Telemetry
from bookinfo_lab.resources import proxy_directory, workloads
from bookinfo_lab.resources.conventions import PROXY_PORT
from bookinfo_lab.resources.proxy_directory import APP_LOG, ENVOY_LOG
from bookinfo_lab.resources.topology import Gateway, Topology, Workload
from bookinfo_lab.resources.workloads import Deployment
from bookinfo_lab.runtime import ca, processes, relay
from bookinfo_lab.runtime.ca import Authority
from bookinfo_lab.runtime.processes import Process
from bookinfo_lab.runtime.programs import Programs
from bookinfo_lab.runtime.relay import Relay
from bookinfo_lab.runtime.supervised import Launch, Probe, State, Supervised
from bookinfo_lab.translate import bootstrap

NOT_PROXIED = "127.0.0.1,localhost"

DRAIN_SECONDS = "1"
"""How long a stopping application goes on serving: its endpoint is withdrawn before it is told to stop."""

_SIDECAR_GRACE = 1.0
"""Seconds for an Envoy whose application has ended: nothing is left to go through it."""

_INHERITED = (
    "PATH",
    "PYTHONPATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
)
"""What of the launcher's environment a process needs of the machine; a pod sees no other."""


class Pod:
    """A running instance of a Deployment."""

    def __init__(
        self,
        deployment: Deployment,
        workload: Workload,
        folder: Path,
        env: Mapping[str, str],
        app: Supervised,
        outbound: Supervised | Relay,
    ) -> None:
        """`outbound` is what its calls go through: its sidecar, or without one a relay."""
        self.deployment = deployment
        self.workload = workload
        self.folder = folder
        self.env = env
        self.app = app
        self.sidecar = outbound if isinstance(outbound, Supervised) else None
        self._relay = outbound if isinstance(outbound, Relay) else None

    @property
    def processes(self) -> list[Supervised]:
        """Its processes."""
        return [self.app, self.sidecar] if self.sidecar else [self.app]

    @property
    def ready(self) -> bool:
        """Whether it may receive traffic."""
        return all(process.ready for process in self.processes)

    @property
    def state(self) -> State:
        """The state of the process that keeps it from being ready, or `ready`."""
        return next((process.state for process in self.processes if not process.ready), "ready")

    def start(self) -> None:
        """Start its processes."""
        for process in self.processes:
            process.start()
        if self._relay:
            self._relay.start()

    async def stop(self, grace: float) -> None:
        """Let the application finish what it does, through its sidecar, then end both."""
        await self.app.stop(grace)
        if self.sidecar:
            await self.sidecar.stop(_SIDECAR_GRACE)
        if self._relay:
            await self._relay.stop()


@dataclass(frozen=True)
class Maker:
    """Makes pods and gateways; nothing is started."""

    folder: Path  # in which each gets a folder of its name
    envoy: Path
    programs: Programs
    authority: Authority
    telemetry: Telemetry
    recorder: Recorder
    environ: Mapping[str, str]
    topology: Callable[[], Topology]
    on_change: Callable[[], None]
    report: Callable[[str], None]

    def pod(self, deployment: Deployment, workload: Workload) -> Pod:
        """A pod of the deployment."""
        folder = self._folder(workload)
        env = environment(deployment, workload, self.environ, self.telemetry)
        log = folder / APP_LOG
        launch = Launch(
            f"{workload.name}'s application",
            lambda: self.programs.start(deployment.image.package, folder, env, log),
            log,
            folder / proxy_directory.APP_SOCKET,
        )
        app = Supervised(launch, _app_probe(workload, folder), self.on_change, self.report)
        outbound = self._envoy(workload, folder) if workload.sidecar else self._relay(workload)
        return Pod(deployment, workload, folder, env, app, outbound)

    def gateway(self, gateway: Gateway) -> Supervised:
        """The Envoy of a gateway."""
        return self._envoy(gateway, self._folder(gateway))

    def _relay(self, workload: Workload) -> Relay:
        return Relay(
            workload.address,
            PROXY_PORT,
            lambda host, port: relay.endpoints(self.topology(), host, port, workload.namespace),
        )

    def _folder(self, proxy: Workload | Gateway) -> Path:
        folder = self.folder / proxy.name
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def _envoy(self, proxy: Workload | Gateway, folder: Path) -> Supervised:
        ca.issue(self.authority, proxy.spiffe_id, folder)
        (folder / proxy_directory.BOOTSTRAP).write_text(json.dumps(bootstrap.bootstrap(proxy, self.telemetry.address)))
        self.recorder.follow(proxy, folder / proxy_directory.REQUEST_RECORDS)
        command = [str(self.envoy), *bootstrap.arguments()]
        env = machine_env(self.environ)
        admin = folder / proxy_directory.ADMIN_SOCKET
        log = folder / ENVOY_LOG

        async def start() -> Process:
            return processes.start(command, folder, env, log)

        async def ready() -> bool:
            return (await http.request(admin, "/ready")).status == 200

        launch = Launch(f"{proxy.name}'s Envoy", start, log, admin)
        return Supervised(launch, ready, self.on_change, self.report)


def machine_env(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the launcher's environment its processes keep."""
    return {name: environ[name] for name in _INHERITED if name in environ}


def environment(
    deployment: Deployment, workload: Workload, environ: Mapping[str, str], telemetry: Telemetry
) -> dict[str, str]:
    """The application's environment: the machine's, the image's, the Deployment's and the lab's; the last one wins."""
    proxy = f"http://{workload.address}:{PROXY_PORT}"
    not_proxied = f"{NOT_PROXIED},{telemetry.address[0]}"
    lab = {
        "HOSTNAME": workload.name,
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "NO_PROXY": not_proxied,
        "http_proxy": proxy,
        "https_proxy": proxy,
        "no_proxy": not_proxied,
    }
    listen = {"UDS": str(proxy_directory.APP_SOCKET)} if workload.sidecar else {"HOST": workload.address}
    defaults = {
        "DRAIN_SECONDS": DRAIN_SECONDS,
        "LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": telemetry.url,
    }
    return machine_env(environ) | defaults | workloads.environment(deployment, workload) | lab | listen


def _app_probe(workload: Workload, folder: Path) -> Probe:
    """Readiness of the application: `/readyz`, or, for one that serves nothing, that it runs."""
    target: http.Target = folder / proxy_directory.APP_SOCKET
    if not workload.sidecar and workload.ports:
        target = (workload.address, next(iter(workload.ports.values())))

    async def ready() -> bool:
        return not workload.ports or (await http.request(target, "/readyz")).status == 200

    return ready
