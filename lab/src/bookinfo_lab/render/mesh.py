"""The services that proxies can call, as Istio's registry knows them, and which rules hold for whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bookinfo_lab.model import Rules
from bookinfo_lab.topology import CLUSTER_DOMAIN, Gateway, Service, Topology, Workload


@dataclass(frozen=True)
class Port:
    """A port of a host. `protocol` is one of Istio's, in capitals (HTTP, HTTPS, TLS, TCP, ...)."""

    number: int
    name: str
    protocol: str

    @property
    def tunnelled(self) -> bool:
        """Whether a proxy passes its bytes on unread (clients reach it by CONNECT)."""
        return self.protocol in ("HTTPS", "TLS", "TCP", "MONGO", "MYSQL", "REDIS")


@dataclass(frozen=True)
class Endpoint:
    """Where one instance of a host listens."""

    address: str
    port: int
    labels: Mapping[str, str]
    mutual_tls: bool  # whether a sidecar accepts mutual TLS there
    identity: str | None  # the SPIFFE identity that it shows


@dataclass(frozen=True)
class Host:
    """A name that clients can call: a Service of the lab, or of the world outside."""

    name: str
    namespace: str
    ports: tuple[Port, ...]
    endpoints: Mapping[int, tuple[Endpoint, ...]]  # by port number

    def port(self, number: int) -> Port | None:
        """The port with that number, if there is one."""
        return next((port for port in self.ports if port.number == number), None)

    @property
    def identities(self) -> tuple[str, ...]:
        """Every identity that an instance of it may show."""
        endpoints = [endpoint for group in self.endpoints.values() for endpoint in group]
        return tuple(sorted({endpoint.identity for endpoint in endpoints if endpoint.identity}))

    def names(self, namespace: str) -> tuple[str, ...]:
        """How a client in `namespace` may write its name. Istio: generateVirtualHostDomains."""
        suffix = f".svc.{CLUSTER_DOMAIN}"
        if not self.name.endswith(suffix):
            return (self.name,)
        short = self.name.removesuffix(f".{self.namespace}{suffix}")
        beside = (short,) if namespace == self.namespace else ()
        return (*beside, f"{short}.{self.namespace}", f"{short}.{self.namespace}.svc", self.name)


@dataclass(frozen=True)
class Mesh:
    """What runs and what holds: the input of every rendering function."""

    topology: Topology
    rules: Rules

    @cached_property
    def hosts(self) -> Mapping[str, Host]:
        """Every host by its full name."""
        hosts = [_service_host(self.topology, service) for service in self.topology.services]
        return {host.name: host for host in hosts}


Proxy = Workload | Gateway


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every label of `selector` is among `labels`; an empty selector selects everything."""
    return all(labels.get(key) == value for key, value in selector.items())


def protocol(port_name: str) -> str:
    """The protocol that a Service's port name declares (`http-api` is HTTP); one that declares none carries HTTP here.

    Istio: protocol.Parse, pkg/config/protocol; it would look at the first bytes instead.
    """
    prefix = port_name.partition("-")[0].upper()
    return prefix if prefix in ("HTTP", "HTTP2", "GRPC", "HTTPS", "TLS", "TCP", "MONGO", "MYSQL", "REDIS") else "HTTP"


def _service_host(topology: Topology, service: Service) -> Host:
    instances = [
        workload
        for workload in topology.workloads
        if workload.namespace == service.namespace and service.selector and selects(service.selector, workload.labels)
    ]
    return Host(
        name=service.host,
        namespace=service.namespace,
        ports=tuple(Port(port.number, port.name, protocol(port.name)) for port in service.ports),
        endpoints={
            port.number: tuple(
                endpoint for workload in instances if (endpoint := _endpoint(workload, port.target_port)) is not None
            )
            for port in service.ports
        },
    )


def _endpoint(workload: Workload, target_port: int | str) -> Endpoint | None:
    """Where `workload` serves `target_port`; None if it is not ready or has no port of that name."""
    number = workload.ports.get(target_port) if isinstance(target_port, str) else target_port
    if number is None or not workload.ready:
        return None
    identity = workload.spiffe_id if workload.sidecar else None
    return Endpoint(workload.address, number, workload.labels, workload.sidecar, identity)
