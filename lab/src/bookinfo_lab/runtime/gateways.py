"""A lab's gateways, an Envoy each: Istio's ingress, one for every Gateway of the Gateway API, gateway Deployments."""

import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bookinfo_lab.errors import LabError, manifest_errors
from bookinfo_lab.resources.conventions import GATEWAY_CLASS_LABEL, GATEWAY_NAME_LABEL
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.model import Rules, gateway_api
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Gateway, Service, ServicePort
from bookinfo_lab.resources.workloads import Workloads
from bookinfo_lab.runtime import addresses
from bookinfo_lab.runtime.addresses import AddressRange
from bookinfo_lab.runtime.supervised import Supervised

INGRESS = "istio-ingressgateway"

_UNPRIVILEGED = 1024


@dataclass(frozen=True)
class Wanted:
    """A gateway that the applied objects ask for."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    service_account: str
    document: Document
    resource: str = ""  # the Gateway API's Gateway for which it runs
    published: Mapping[int, str] = field(default_factory=dict)  # ports for the outside, with http or https
    within: Mapping[int, int] = field(default_factory=dict)  # ports for the mesh, and where it listens for them


@dataclass(frozen=True)
class Running:
    """A gateway and its Envoy."""

    gateway: Gateway
    envoy: Supervised
    claims: Mapping[int, socket.socket] = field(default_factory=dict)  # what holds the machine's ports
    schemes: Mapping[int, str] = field(default_factory=dict)  # http or https

    @property
    def seen(self) -> Gateway:
        """The gateway as the mesh sees it now."""
        return replace(self.gateway, ready=self.envoy.ready)

    @property
    def urls(self) -> dict[int, str]:
        """Where the outside reaches its ports."""
        return {port: f"{scheme}://localhost:{self.gateway.ports[port][1]}" for port, scheme in self.schemes.items()}


@dataclass(frozen=True)
class Plan:
    """What a change makes of the gateways."""

    after: Mapping[str, Running]
    new: tuple[Running, ...]
    retired: tuple[Running, ...]
    claimed: tuple[socket.socket, ...]  # to be given back if it comes to nothing
    released: tuple[socket.socket, ...]  # to be given back once it has come about


def wanted(rules: Rules, workloads: Workloads) -> list[Wanted]:
    """Every gateway but Istio's ingress, which is always there.

    Raises:
        ManifestError: two have one name, or one listens where it cannot.
    """
    found: dict[str, Wanted] = {}
    for item in (*map(_of_resource, rules.api_gateways), *_of_deployments(workloads)):
        if item.name in found or item.name == INGRESS:
            raise item.document.error(manifest_errors.gateway_exists(item.name), ("metadata", "name"))
        found[item.name] = item
    return list(found.values())


def services(items: Iterable[Wanted]) -> tuple[Service, ...]:
    """The Services by which the mesh reaches the Gateways of the Gateway API: Istio makes one for each."""
    return tuple(
        Service(
            item.name,
            item.namespace,
            tuple(ServicePort(port, f"{scheme}-{port}", port) for port, scheme in item.published.items()),
            {GATEWAY_NAME_LABEL: item.resource},
        )
        for item in items
        if item.resource
    )


def _of_resource(rule: Rule[gateway_api.GatewaySpec]) -> Wanted:
    """As Istio names and labels what it runs for a Gateway: pilot/pkg/config/kube/gateway/deploymentcontroller.go."""
    name = f"{rule.name}-{gateway_api.CLASS}"
    own = {GATEWAY_NAME_LABEL: rule.name, GATEWAY_CLASS_LABEL: gateway_api.CLASS}
    return Wanted(
        name=name,
        namespace=rule.namespace,
        labels={**rule.spec.infrastructure.labels, **own},
        service_account=name,
        document=rule.document,
        resource=rule.name,
        published={listener.port: listener.protocol.lower() for listener in rule.spec.listeners},
    )


def _of_deployments(workloads: Workloads) -> Iterator[Wanted]:
    for item in workloads.gateways:
        within = {
            port.number: item.ports.get(str(port.target_port), port.target_port)
            for service in workloads.services
            if service.selects(item)
            for port in service.ports
        }
        for number, target in within.items():
            if not isinstance(target, int) or target < _UNPRIVILEGED:
                raise item.document.error(
                    manifest_errors.gateway_target_port(number, target, _UNPRIVILEGED), ("metadata", "name")
                )
        targets = {number: target for number, target in within.items() if isinstance(target, int)}
        yield Wanted(item.name, item.namespace, item.labels, item.service_account, item.document, within=targets)


class Gateways:
    """What runs. A change is planned, and then adopted or given up."""

    def __init__(self, make: Callable[[Gateway], Supervised], own: AddressRange, host: str, folder: Path) -> None:
        """`make` prepares an Envoy in a folder of its name below `folder`; published ports are opened on `host`."""
        self.running: Mapping[str, Running] = {}
        self._make = make
        self._addresses = own
        self._host = host
        self._folder = folder

    def add(self, gateway: Gateway) -> None:
        """The ingress, which stays."""
        self.running = {gateway.name: Running(gateway, self._make(gateway))}

    def plan(self, items: Iterable[Wanted]) -> Plan:
        """What `items` ask for beside the ingress; nothing is started.

        Raises:
            LabError: there is no address or no port for one.
        """
        after = {INGRESS: self.running[INGRESS]}
        claimed: list[socket.socket] = []
        try:
            for item in items:
                after[item.name] = self._planned(item, claimed)
        except BaseException:
            self._forget([item for name, item in after.items() if name not in self.running], claimed)
            raise
        used = [claim for item in after.values() for claim in item.claims.values()]
        return Plan(
            after=after,
            new=tuple(item for name, item in after.items() if name not in self.running),
            retired=tuple(item for name, item in self.running.items() if name not in after),
            claimed=tuple(claimed),
            released=tuple(
                claim for item in self.running.values() for claim in item.claims.values() if claim not in used
            ),
        )

    def admit(self, plan: Plan) -> None:
        """Count the new ones in, so that they can be started."""
        self.running = {**self.running, **{item.gateway.name: item for item in plan.new}}

    def adopt(self, plan: Plan) -> None:
        """Make the plan what runs; those that it retires are left until `remove`."""
        self.running = {**self.running, **plan.after}

    def give_up(self, plan: Plan, before: Mapping[str, Running]) -> list[Running]:
        """Make `before` what runs again; the new ones are to be removed."""
        self.running = {**before, **{item.gateway.name: item for item in plan.new}}
        return list(plan.new)

    def withdraw(self, items: Iterable[Running]) -> None:
        """Take them out of traffic."""
        names = {item.gateway.name for item in items}
        self.running = {name: item for name, item in self.running.items() if name not in names}

    async def remove(self, items: Iterable[Running], claims: Iterable[socket.socket], grace: float) -> None:
        """End them, and give back what they and `claims` held."""
        for item in items:
            await item.envoy.stop(grace)
        self._forget(items, claims)

    def close(self) -> None:
        """Give back every port."""
        for item in self.running.values():
            for claim in item.claims.values():
                claim.close()

    def _planned(self, item: Wanted, claimed: list[socket.socket]) -> Running:
        older = self.running.get(item.name)
        if older and (older.gateway.namespace, older.gateway.service_account) != (item.namespace, item.service_account):
            raise item.document.error(manifest_errors.gateway_identity_changed(item.name))
        claims = {}
        for port in item.published:
            claims[port] = older.claims[port] if older and port in older.claims else self._claim(port)
            if older is None or port not in older.claims:
                claimed.append(claims[port])
        address = older.gateway.address if older else self._addresses.take()
        within = {number: (address, target) for number, target in item.within.items()}
        gateway = Gateway(
            name=item.name,
            namespace=item.namespace,
            labels=item.labels,
            service_account=item.service_account,
            address=address,
            ports={**within, **{port: claim.getsockname() for port, claim in claims.items()}},
            resource=item.resource,
        )
        if older and older.gateway == gateway and older.schemes == item.published:
            return older
        return Running(gateway, older.envoy if older else self._make(gateway), claims, item.published)

    def _claim(self, port: int) -> socket.socket:
        """The same port of the machine where that is free and needs no privileges, else any."""
        if port >= _UNPRIVILEGED:
            try:
                return addresses.claim_port(self._host, port)
            except LabError:
                pass
        return addresses.claim_port(self._host, 0)

    def _forget(self, items: Iterable[Running], claims: Iterable[socket.socket]) -> None:
        for item in items:
            shutil.rmtree(self._folder / item.gateway.name)
            self._addresses.give_back(item.gateway.address)
        for claim in claims:
            claim.close()
