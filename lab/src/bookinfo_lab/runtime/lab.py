"""A running lab: the objects that are applied to it, and the pods that they ask for.

A change is all or nothing: it is read, rendered and judged by Envoy before anything happens, and undone if a running
Envoy refuses it or a new pod does not become ready.
"""

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bookinfo_lab.errors import LabError, lab_errors
from bookinfo_lab.observe.recorder import Recorder
from bookinfo_lab.observe.records import Registry
from bookinfo_lab.observe.telemetry import Telemetry
from bookinfo_lab.resources import conventions, workloads
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.images import Image
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.store import Change, ObjectStore, key
from bookinfo_lab.resources.topology import TRUST_DOMAIN, Gateway, Service, Topology
from bookinfo_lab.resources.workloads import Deployment, Workloads
from bookinfo_lab.runtime import addresses, attribution, ca, envoy, gateways, pods, processes, xds_files
from bookinfo_lab.runtime.addresses import AddressRange
from bookinfo_lab.runtime.delivery import Delivery, RefusedError
from bookinfo_lab.runtime.gateways import Gateways, Plan, Running, Wanted
from bookinfo_lab.runtime.pods import Pod
from bookinfo_lab.runtime.programs import Programs
from bookinfo_lab.runtime.supervised import Supervised
from bookinfo_lab.translate import translate

INGRESS_PORTS = (80, 8080)
"""What Gateway resources may name: Istio's own Service of the ingress leads port 80 to 8080. The host's port may be
another one."""

READY_WITHIN = 30.0
"""Seconds that a new pod may take to become ready."""

MOST_DEATHS = 3
"""A new process that has died so often will not become ready. Once is an accident."""

MOST_PODS = 100
"""A lab has 253 addresses, and may need two for a pod that is replaced."""

_POLL = 0.01
_GATEWAY_GRACE = 1.0
_STOP_GRACE = 4.0
_RETIRE_GRACE = 15.0
_LOG_CHECK_PERIOD = 2.0


@dataclass(frozen=True)
class Machine:
    """What a lab runs on."""

    folder: Path  # in which each proxy has a folder of its own
    envoy: Path
    images: Mapping[str, Image]
    addresses: AddressRange
    environ: Mapping[str, str]
    gateway: tuple[str, int]  # where browsers find it
    telemetry: Telemetry


@dataclass(frozen=True)
class _Wanted:
    """What the applied objects say."""

    objects: ObjectStore
    workloads: Workloads
    rules: Rules
    gateways: Sequence[Wanted] = ()


class Lab:
    """Everything of one lab but its control interface."""

    def __init__(self, machine: Machine, report: Callable[[str], None]) -> None:
        """`report` takes lines for the user."""
        self.machine = machine
        self.pods: dict[str, Pod] = {}
        self.tasks: list[asyncio.Task[None]] = []
        """What runs for as long as the lab; none of them ends by itself unless it fails."""
        self._report = report
        self._wanted = self._initial = _Wanted(ObjectStore(), Workloads(), Rules())
        self._changing = asyncio.Lock()
        self._readiness_changed = asyncio.Event()
        self._delivery = Delivery(machine.folder, machine.envoy, self._running_proxies)
        packages = [image.package for image in machine.images.values()]
        self._programs = Programs(packages, machine.folder, pods.machine_env(machine.environ))
        self._recorder = Recorder(machine.telemetry.requests, Registry(lambda: _services(self._wanted)))
        self._maker = pods.Maker(
            folder=machine.folder,
            envoy=machine.envoy,
            programs=self._programs,
            authority=ca.create_authority(TRUST_DOMAIN),
            telemetry=machine.telemetry,
            recorder=self._recorder,
            environ=machine.environ,
            topology=self.topology,
            on_change=self._readiness_changed.set,
            report=report,
        )
        self.gateways = Gateways(self._maker.gateway, machine.addresses, machine.gateway[0], machine.folder)
        self.gateways.add(
            Gateway(
                name=gateways.INGRESS,
                namespace="istio-system",
                labels={"app": "istio-ingressgateway", "istio": "ingressgateway"},
                service_account="istio-ingressgateway-service-account",
                address=machine.addresses.take(),
                ports=dict.fromkeys(INGRESS_PORTS, machine.gateway),
            )
        )

    @property
    def ingress(self) -> Running:
        """The gateway by which browsers come in."""
        return self.gateways.running[gateways.INGRESS]

    @property
    def objects(self) -> ObjectStore:
        """What is applied."""
        return self._wanted.objects

    @property
    def rules(self) -> Rules:
        """The Istio objects that are applied."""
        return self._wanted.rules

    def topology(self) -> Topology:
        """What runs, and what of it is ready."""
        return self._topology(self._wanted, self.pods.values(), self.gateways.running.values())

    async def start(self, objects: ObjectStore) -> None:
        """Start what `objects` ask for. The gateway lets nobody in before all of it is ready, or has had its time.

        Raises:
            LabError, ManifestError: the objects cannot be run.
        """
        async with self._changing:
            self._programs.begin()  # first, because it takes longest
            self._wanted = self._initial = self._read(objects)
            deployments = self._wanted.workloads.deployments
            envoy.check_room(1 + _sidecars(deployments))
            own = {conventions.PROXY_PORT, conventions.METRICS_PORT}
            for port in own.union(*(deployment.ports.values() for deployment in deployments)):
                addresses.check_free(self.ingress.gateway.address, port)
            started = self._create_pods(deployments)
            self._admit(started)
            self._publish()
            for pod in started:
                pod.start()
            self.tasks += [asyncio.create_task(self._follow_readiness()), asyncio.create_task(self._rotate_logs())]
            await self._watch_start(started)
            self._publish()
            self.ingress.envoy.start()
            await self._until_ready([self.ingress.envoy])
            await self._delivery.settle({})

    async def change(self, edit: Callable[[ObjectStore], tuple[ObjectStore, list[Change]]]) -> list[Change]:
        """Make what `edit` makes of the applied objects what is applied; return when every Envoy runs it.

        Raises:
            LabError, ManifestError: it cannot be run; everything is as it was.
        """
        async with self._changing:
            before = self._wanted
            objects, changes = edit(before.objects)
            wanted = self._read(objects)
            missing, retired = self._plan(wanted.workloads)
            edges, plan = self.gateways.running, self.gateways.plan(wanted.gateways)
            envoy.check_room(_sidecars(missing) + len(plan.new))
            added = self._create_pods(missing)
            try:
                topology = self._topology(wanted, [*self.pods.values(), *added], plan.after.values())
                await self._judge(before, wanted, topology)
                refusals = await self._delivery.refusals()
                if added or plan.new:  # before the rules that may send everybody there
                    await self._start_added(added, plan)
                self._wanted = wanted
                self.gateways.adopt(plan)
                self._publish()
                await self._delivery.settle(refusals)
            except BaseException as error:
                self._wanted = before
                await self._retire(added, self.gateways.give_up(plan, edges), plan.claimed)
                if isinstance(error, RefusedError):
                    self._explain(error, before, wanted, topology)
                raise
            if retired or plan.retired or plan.released:
                await self._retire(retired, plan.retired, plan.released)
            return changes

    async def _start_added(self, added: Sequence[Pod], plan: Plan) -> None:
        self._admit(added)
        self.gateways.admit(plan)
        self._publish()
        edges = [item.envoy for item in plan.new]
        for edge in edges:
            edge.start()
        for pod in added:
            pod.start()
        await self._until_ready([*edges, *(process for pod in added for process in pod.processes)])

    async def _judge(self, before: _Wanted, wanted: _Wanted, topology: Topology) -> None:
        """Raise ManifestError (LabError, if it is no rule's fault) for what Envoy would refuse."""
        refused = await self._delivery.judge(translate(topology, wanted.rules), topology)
        if refused is None:
            return
        proxy, reason = refused

        def verdict(documents: Sequence[Document]) -> bool:
            configs = translate(topology, _with(before, documents))
            return self._delivery.verdict(proxy, configs, topology) is not None

        if culprits := await asyncio.to_thread(attribution.behind, _news(before, wanted), verdict):
            raise attribution.explained(culprits, reason, "correct it: nothing was changed")
        raise LabError(lab_errors.configuration_rejected(proxy, reason))

    def _explain(self, error: RefusedError, before: _Wanted, wanted: _Wanted, topology: Topology) -> None:
        """Raise ManifestError if a rule is behind a running Envoy's refusal."""

        def made(documents: Sequence[Document]) -> object:
            config = translate(topology, _with(before, documents))[error.proxy]
            return [xds_files.subscribed(config, name) for name in error.subscriptions]

        if culprits := attribution.shaping(_news(before, wanted), made):
            fix = f"correct it: the change was rolled back because the Envoy of {error.proxy} rejected it"
            raise attribution.explained(culprits, error.reason, fix) from None

    async def reset(self) -> None:
        """Back to the objects with which the lab was started."""
        await self.change(lambda _: (self._initial.objects, []))

    async def stop(self) -> None:
        """End everything: first what lets requests in, then what answers them."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*(item.envoy.stop(_GATEWAY_GRACE) for item in self.gateways.running.values()))
        self.gateways.close()
        await asyncio.gather(*(pod.stop(_STOP_GRACE) for pod in self.pods.values()))
        self._programs.close()
        self._recorder.close()

    def kill(self) -> None:
        """End every process at once."""
        edges = [item.envoy for item in self.gateways.running.values()]
        for process in [*edges, *(process for pod in self.pods.values() for process in pod.processes)]:
            process.kill()

    def find(self, name: str) -> Pod:
        """A pod by its name, or the first ready one by its Deployment's.

        Raises:
            LabError: there is none of that name.
        """
        found = [pod for pod in self.pods.values() if name in (pod.workload.name, pod.workload.deployment)]
        if not found:
            names = sorted({pod.workload.deployment for pod in self.pods.values()})
            raise LabError(lab_errors.workload_not_found(name, names))
        return min(found, key=lambda pod: not pod.ready)

    def _read(self, objects: ObjectStore) -> _Wanted:
        read = workloads.parse(objects.workloads, self.machine.images)
        pods_wanted = sum(deployment.replicas for deployment in read.deployments)
        if pods_wanted > MOST_PODS:
            raise LabError(lab_errors.too_many_pods(pods_wanted, MOST_PODS))
        rules = Rules.parse(objects.rules)
        return _Wanted(objects, read, rules, gateways.wanted(rules, read))

    def _plan(self, wanted: Workloads) -> tuple[list[Deployment], list[Pod]]:
        """What to start (`replicas` is how many more) and what to retire."""
        deployments = {(deployment.namespace, deployment.name): deployment for deployment in wanted.deployments}
        kept = dict.fromkeys(deployments, 0)
        retired = []
        for pod in sorted(self.pods.values(), key=lambda pod: not pod.ready):
            identity = (pod.workload.namespace, pod.workload.deployment)
            deployment = deployments.get(identity)
            if (
                deployment
                and deployment.template_hash == pod.deployment.template_hash
                and kept[identity] < deployment.replicas
            ):
                kept[identity] += 1
            else:
                retired.append(pod)
        missing = [replace(item, replicas=item.replicas - kept[identity]) for identity, item in deployments.items()]
        return missing, retired

    def _create_pods(self, deployments: Iterable[Deployment]) -> list[Pod]:
        return [self._create_pod(deployment) for deployment in deployments for _ in range(deployment.replicas)]

    def _create_pod(self, deployment: Deployment) -> Pod:
        return self._maker.pod(deployment, workloads.pod(deployment, self.machine.addresses.take()))

    def _admit(self, added: Iterable[Pod]) -> None:
        self.pods |= {pod.workload.name: pod for pod in added}

    def _topology(self, wanted: _Wanted, running: Iterable[Pod], edges: Iterable[Running]) -> Topology:
        return Topology(
            services=_services(wanted),
            workloads=tuple(replace(pod.workload, ready=pod.ready) for pod in running),
            gateways=tuple(item.seen for item in edges),
            collector=self.machine.telemetry.address,
            recorded=True,
            secrets=wanted.workloads.secrets,
        )

    def _publish(self) -> None:
        self._delivery.publish(translate(self.topology(), self.rules))

    def _running_proxies(self) -> list[str]:
        envoys = {pod.workload.name: pod.sidecar for pod in self.pods.values() if pod.sidecar}
        edges = {name: item.envoy for name, item in self.gateways.running.items()}
        return [name for name, envoy in {**envoys, **edges}.items() if envoy.ready]

    async def _watch_start(self, started: Iterable[Pod]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        waiting = list(started)
        while waiting:
            for pod in [pod for pod in waiting if pod.ready]:
                self._report(f"{pod.workload.name} is ready")
                waiting.remove(pod)
            for pod in list(waiting):
                failing = next((process for process in pod.processes if process.deaths >= MOST_DEATHS), None)
                if failing:
                    self._report(f"not waited for: {failing.launch.name}, which {failing.failure}")
                    waiting.remove(pod)
            if time.monotonic() > deadline:
                self._report(f"not ready, and left to be: {', '.join(pod.workload.name for pod in waiting)}")
                return
            await asyncio.sleep(_POLL)

    async def _until_ready(self, started: Iterable[Supervised]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        waiting = list(started)
        while waiting := [process for process in waiting if not process.ready]:
            for process in waiting:
                if process.deaths >= MOST_DEATHS:
                    raise LabError(
                        lab_errors.process_crashed(process.launch.name, process.deaths, str(process.failure))
                    )
                if time.monotonic() > deadline:
                    last = processes.last_lines(process.launch.log, 3)
                    raise LabError(
                        lab_errors.process_not_ready(process.launch.name, READY_WITHIN, process.state, " | ".join(last))
                    )
            await asyncio.sleep(_POLL)

    async def _retire(self, retired: Iterable[Pod], edges: Iterable[Running], claims: Iterable[socket.socket]) -> None:
        """Take pods and gateways out of traffic, then end them; then give back the machine's ports."""
        for pod in retired:
            self.pods.pop(pod.workload.name, None)
        self.gateways.withdraw(edges)
        self._publish()
        with contextlib.suppress(LabError):  # the change itself has been made; these end in any case
            await self._delivery.settle({})
        await self.gateways.remove(edges, claims, _GATEWAY_GRACE)
        await asyncio.gather(*(pod.stop(_RETIRE_GRACE) for pod in retired))
        for pod in retired:
            shutil.rmtree(pod.folder)
            self.machine.addresses.give_back(pod.workload.address)

    async def _follow_readiness(self) -> None:
        """Give traffic to what becomes ready, and take it from what no longer is."""
        while True:
            await self._readiness_changed.wait()
            self._readiness_changed.clear()
            self._publish()

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_PERIOD)
            for log in self.machine.folder.glob("*/*.log"):
                processes.rotate(log)


def _news(before: _Wanted, wanted: _Wanted) -> list[Document]:
    """The rules that are new or changed."""
    older = {identity: document.body for identity, document in before.objects.documents.items()}
    return [document for document in wanted.objects.rules if older.get(key(document)) != document.body]


def _with(before: _Wanted, documents: Sequence[Document]) -> Rules:
    return Rules.parse(before.objects.apply(documents)[0].rules)


def _services(wanted: _Wanted) -> tuple[Service, ...]:
    return (*wanted.workloads.services, *gateways.services(wanted.gateways))


def _sidecars(deployments: Iterable[Deployment]) -> int:
    return sum(deployment.replicas for deployment in deployments if deployment.sidecar)
