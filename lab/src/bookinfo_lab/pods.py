"""One pod: an application and its sidecar, in a folder of their own."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from bookinfo_lab import bootstrap, client, workloads
from bookinfo_lab.supervised import Launch, Probe, State, Supervised
from bookinfo_lab.topology import Gateway, Workload
from bookinfo_lab.workloads import Deployment

APP_LOG = "app.log"
ENVOY_LOG = "envoy.log"

PROXY_PORT = 15080
"""Where a sidecar takes its application's outbound requests, on the workload's address."""

NOT_PROXIED = "127.0.0.1,localhost"

DRAIN_SECONDS = "1"
"""How long a stopping application goes on serving: its endpoint is withdrawn before it is told to stop."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
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
        sidecar: Supervised | None,
    ) -> None:
        self.deployment = deployment
        self.workload = workload
        self.folder = folder
        self.env = env
        self.app = app
        self.sidecar = sidecar

    @property
    def processes(self) -> list[Supervised]:
        """Its processes, in the order in which they are stopped."""
        return [self.app, self.sidecar] if self.sidecar else [self.app]

    @property
    def ready(self) -> bool:
        """Whether it may receive traffic."""
        return all(process.ready for process in self.processes)

    @property
    def state(self) -> State:
        """The state of the process that keeps it from being ready, or `ready`."""
        return next((process.state for process in self.processes if not process.ready), "ready")

    async def stop(self, grace: float) -> None:
        """Let the application finish what it does, through its sidecar, then end both."""
        for process in self.processes:
            await process.stop(grace)


def create(
    deployment: Deployment,
    workload: Workload,
    folder: Path,
    envoy: Path,
    base_env: Mapping[str, str],
    on_change: Callable[[], None],
    report: Callable[[str], None],
) -> Pod:
    """A pod in `folder`; nothing is started."""
    folder.mkdir(mode=0o700, parents=True)
    env = environment(deployment, workload, base_env)
    launch = Launch(
        f"{workload.name}'s application",
        deployment.image.command,
        folder,
        env,
        folder / APP_LOG,
        str(bootstrap.APP_SOCKET),
    )
    app = Supervised(launch, _app_probe(workload, folder), on_change, report)
    sidecar = create_envoy(workload, folder, envoy, base_env, on_change, report) if workload.sidecar else None
    return Pod(deployment, workload, folder, env, app, sidecar)


def create_envoy(
    proxy: Workload | Gateway,
    folder: Path,
    envoy: Path,
    base_env: Mapping[str, str],
    on_change: Callable[[], None],
    report: Callable[[str], None],
) -> Supervised:
    """The Envoy of `proxy`, with its bootstrap configuration written into `folder`; it is not started."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / bootstrap.FILE).write_text(json.dumps(bootstrap.bootstrap(proxy)))

    async def ready() -> bool:
        return (await client.request(folder / bootstrap.ADMIN_SOCKET, "/ready")).status == 200

    launch = Launch(
        f"{proxy.name}'s Envoy",
        (str(envoy), *bootstrap.arguments()),
        folder,
        machine_env(base_env),
        folder / ENVOY_LOG,
        str(bootstrap.ADMIN_SOCKET),
    )
    return Supervised(launch, ready, on_change, report)


def machine_env(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the launcher's environment its processes keep."""
    return {name: environ[name] for name in _INHERITED if name in environ}


def environment(deployment: Deployment, workload: Workload, environ: Mapping[str, str]) -> dict[str, str]:
    """The application's environment: the machine's, the image's, the Deployment's and the lab's; the last one wins."""
    proxy = f"http://{workload.address}:{PROXY_PORT}"
    lab = {
        "HOSTNAME": workload.name,
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "NO_PROXY": NOT_PROXIED,
        "http_proxy": proxy,
        "https_proxy": proxy,
        "no_proxy": NOT_PROXIED,
    }
    if workload.sidecar:
        listen = {"UDS": str(bootstrap.APP_SOCKET)}
    else:
        listen = {"HOST": workload.address, "PORT": str(next(iter(workload.ports.values()), ""))}
    defaults = {"DRAIN_SECONDS": DRAIN_SECONDS, "LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
    return machine_env(environ) | defaults | workloads.environment(deployment, workload) | lab | listen


def _app_probe(workload: Workload, folder: Path) -> Probe:
    """Readiness of the application: `/readyz`, or, for one that serves nothing, that it runs."""
    target: client.Target = folder / bootstrap.APP_SOCKET
    if not workload.sidecar and workload.ports:
        target = (workload.address, next(iter(workload.ports.values())))

    async def ready() -> bool:
        return not workload.ports or (await client.request(target, "/readyz")).status == 200

    return ready
