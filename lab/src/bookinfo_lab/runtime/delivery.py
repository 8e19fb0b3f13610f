"""Bringing rendered configuration to running Envoys, and knowing that it arrived."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bookinfo_lab.client import http
from bookinfo_lab.errors import LabError, lab_errors
from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.topology import Gateway, Topology, Workload
from bookinfo_lab.runtime import processes, validation, xds_files
from bookinfo_lab.translate.xds import ProxyConfig


class RefusedError(LabError):
    """A running Envoy does not take what it was given."""

    def __init__(self, proxy: str, subscriptions: tuple[str, ...], reason: str) -> None:
        super().__init__(lab_errors.update_rejected(proxy, subscriptions, reason))
        self.proxy = proxy
        self.subscriptions = subscriptions  # names as in `xds_files.Progress`
        self.reason = reason


Refusals = Mapping[str, Mapping[str, int]]
"""How many updates each proxy's subscriptions have refused so far."""

_LIVE_WITHIN = 10.0
_POLL = 0.01
_VALIDATORS = 2
"""Envoys that judge at a time: each keeps a processor busy."""


class Delivery:
    """The configuration files of all proxies, each in the folder of its name below `folder`."""

    def __init__(self, folder: Path, envoy: Path, running: Callable[[], Iterable[str]]) -> None:
        """`running` names the proxies whose Envoy is ready."""
        self._folder = folder
        self._envoy = envoy
        self._running = running
        self._configs: Mapping[str, ProxyConfig] = {}
        self._versions = itertools.count(1)

    async def judge(self, configs: Mapping[str, ProxyConfig], topology: Topology) -> tuple[str, str] | None:
        """Let Envoy judge what differs from what was published, before a running Envoy sees it.

        Returns a proxy whose configuration it refuses, and why, or None.
        """
        proxies = _proxies(topology)
        distinct: dict[str, str] = {}
        for name, config in configs.items():
            new = _news(config, self._configs.get(name, _NOTHING), proxies[name])
            if new:
                distinct.setdefault(new, name)
        slots = asyncio.Semaphore(_VALIDATORS)

        async def judged(name: str) -> tuple[str, str | None]:
            async with slots:
                return name, await asyncio.to_thread(self.verdict, name, configs, topology)

        verdicts = await asyncio.gather(*map(judged, distinct.values()))
        return next(((name, reason) for name, reason in verdicts if reason), None)

    def verdict(self, name: str, configs: Mapping[str, ProxyConfig], topology: Topology) -> str | None:
        """Why Envoy refuses the configuration of the proxy `name`, or None. Takes some 100 ms."""
        proxy = _proxies(topology)[name]
        return validation.validate(self._envoy, proxy, configs[name], self._folder / name, topology.collector)

    def publish(self, configs: Mapping[str, ProxyConfig]) -> None:
        """Write what every Envoy is to run; the running ones take it up by themselves."""
        version = str(next(self._versions))
        for name, config in configs.items():
            xds_files.write(self._folder / name, config, version)
        self._configs = configs

    async def refusals(self) -> Refusals:
        """What to compare with after a `publish`: Envoy counts refusals, and does not tell which version it refused."""
        return {name: xds_files.rejections(await self._stats(name)) for name in self._running()}

    async def settle(self, before: Refusals) -> None:
        """Wait until each running Envoy runs what was published, then drop what went out of use.

        Raises:
            RefusedError: one has refused it since `before`.
            LabError: one does not get there.
        """
        deadline = time.monotonic() + _LIVE_WITHIN
        waiting = dict.fromkeys(self._running(), "no answer")
        while waiting:
            for name in sorted(waiting):
                try:
                    stats = await self._stats(name)
                except (OSError, TimeoutError):  # it has ended; started again, it reads the files anew
                    if name not in self._running():
                        del waiting[name]
                    continue
                expected = xds_files.versions(self._folder / name, self._configs[name])
                progress = xds_files.progress(stats, expected, before.get(name) or xds_files.rejections(stats))
                if progress.rejected:
                    raise RefusedError(name, progress.rejected, self._complaint(name))
                waiting[name] = ", ".join(progress.pending)
                if progress.live:
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                late = [f"{name} ({pending})" for name, pending in sorted(waiting.items())]
                raise LabError(lab_errors.configuration_not_delivered(late))
            await asyncio.sleep(_POLL if waiting else 0)
        for name in self._running():
            xds_files.prune(self._folder / name, self._configs[name], str(next(self._versions)))

    def _complaint(self, name: str) -> str:
        return complaint(processes.last_lines(self._folder / name / proxy_directory.ENVOY_LOG, 20)) or "see its log"

    async def _stats(self, name: str) -> str:
        target = self._folder / name / proxy_directory.ADMIN_SOCKET
        return (await http.request(target, f"/stats?filter={xds_files.STATS_FILTER}")).text


_REJECTED = "update rejected: "
"""What stands before the reason in Envoy's log."""


def complaint(log: Sequence[str]) -> str:
    """The last refusal in the last lines of an Envoy's log; it may take several, and begin before them."""
    told = [index for index, line in enumerate(log) if _REJECTED in line]
    if not told:
        return validation.plain("".join(log[-1:]))
    rest = itertools.takewhile(lambda line: not line.startswith("["), log[told[-1] + 1 :])
    return validation.plain("\n".join([log[told[-1]].partition(_REJECTED)[2], *rest]))


def _proxies(topology: Topology) -> dict[str, Workload | Gateway]:
    everyone: tuple[Workload | Gateway, ...] = (*topology.workloads, *topology.gateways)
    return {proxy.name: proxy for proxy in everyone}


_NOTHING = ProxyConfig(listeners=(), clusters=())


def _news(config: ProxyConfig, running: ProxyConfig, proxy: Workload | Gateway) -> str:
    """What Envoy has to judge of a configuration, the rest of which it runs already.

    It is alike for all proxies that get the same news, so that one judgement stands for all.
    """
    news = [
        [listener for listener in config.listeners if listener not in running.listeners],
        [cluster for cluster in config.clusters if cluster not in running.clusters],
        [route for name, route in config.routes.items() if route != running.routes.get(name)],
        [item for name, item in config.extensions.items() if item != running.extensions.get(name)],
    ]
    names = sorted(cluster["name"] for cluster in config.clusters)
    if not any(news) and names == sorted(cluster["name"] for cluster in running.clusters):
        return ""
    return json.dumps([news, names], sort_keys=True).replace(proxy.name, "NAME").replace(f'"{proxy.address}"', '""')
