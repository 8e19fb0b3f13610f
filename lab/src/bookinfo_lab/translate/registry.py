"""The service registry: every host that proxies can call, from Services and ServiceEntries."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import ServiceEntryPort, ServiceEntrySpec, WorkloadEntry
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Service, ServicePort, Topology, Workload, dns_names, service_host
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode

_TUNNELED_PROTOCOLS = ("HTTPS", "TLS", "TCP", "MONGO", "MYSQL", "REDIS")
_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", *_TUNNELED_PROTOCOLS)


@dataclass(frozen=True)
class Port:
    """A port of a host. `protocol` is one of Istio's, in capitals."""

    number: int
    name: str
    protocol: str

    @property
    def is_tunneled(self) -> bool:
        """Whether a proxy relays its bytes without interpretation. Clients reach such a port by CONNECT."""
        return self.protocol in _TUNNELED_PROTOCOLS


@dataclass(frozen=True)
class Endpoint:
    """One address of a host."""

    address: str  # an IP address, or a DNS name
    port: int
    labels: Mapping[str, str]
    accepts_mutual_tls: bool = False  # a sidecar accepts mutual TLS there
    identity: str | None = None  # the SPIFFE identity in its certificate

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address; None for a DNS name."""
        try:
            return ipaddress.ip_address(self.address)
        except ValueError:
            return None


@dataclass(frozen=True)
class Host:
    """A name that clients can call: a Service of the lab, or a host of a ServiceEntry."""

    name: str
    namespace: str
    ports: tuple[Port, ...]
    endpoints: Mapping[int, tuple[Endpoint, ...]]  # by port number
    is_external: bool = False  # outside the mesh: no mutual TLS

    def port(self, number: int) -> Port | None:
        """Return the port with this number, or None."""
        return next((port for port in self.ports if port.number == number), None)

    @property
    def identities(self) -> tuple[str, ...]:
        """Every identity that an endpoint of the host can present."""
        endpoints = [endpoint for group in self.endpoints.values() for endpoint in group]
        return tuple(sorted({endpoint.identity for endpoint in endpoints if endpoint.identity}))

    def names(self, namespace: str) -> tuple[str, ...]:
        """Return the names by which a client in `namespace` can call the host.

        Istio: generateVirtualHostDomains, core/httproute.go.
        """
        short = self.name.removesuffix(service_host("", self.namespace))
        if self.is_external or short == self.name:
            return (self.name,)
        return dns_names(short, self.namespace, namespace)


def build_registry(topology: Topology, rules: Rules) -> Mapping[str, Host]:
    """Return every host by its full name. A Service takes precedence over a ServiceEntry for the same name.

    Raises ManifestError for a ServiceEntry whose endpoints cannot be reached.
    """
    services = [_service_host(topology, rules, service) for service in topology.services]
    entries = [host for rule in rules.service_entries for host in _service_entry_hosts(topology, rules, rule)]
    return {host.name: host for host in [*entries, *services]}


# Services


def _service_host(topology: Topology, rules: Rules, service: Service) -> Host:
    return Host(
        name=service.host,
        namespace=service.namespace,
        ports=tuple(Port(port.number, port.name, _declared_protocol(port.name)) for port in service.ports),
        endpoints={port.number: _service_endpoints(topology, rules, service, port) for port in service.ports},
    )


def _declared_protocol(port_name: str) -> str:
    """Return the protocol that a Service's port name declares: `http-api` is HTTP. The default is HTTP.

    Istio: protocol.Parse, pkg/config/protocol. Without a declared protocol Istio inspects the first bytes instead.
    """
    prefix = port_name.partition("-")[0].upper()
    return prefix if prefix in _PROTOCOLS else "HTTP"


def _service_endpoints(topology: Topology, rules: Rules, service: Service, port: ServicePort) -> tuple[Endpoint, ...]:
    """Return the endpoints of ready workloads and gateways that `service` selects."""
    workloads = [
        endpoint
        for workload in topology.workloads
        if service.selects(workload) and (endpoint := _workload_endpoint(rules, workload, port.target_port)) is not None
    ]
    gateways = [
        Endpoint(*gateway.ports[port.number], gateway.labels, identity=gateway.spiffe_id)
        for gateway in topology.gateways
        if service.selects(gateway) and gateway.ready and port.number in gateway.ports
    ]
    return (*workloads, *gateways)


def _workload_endpoint(rules: Rules, workload: Workload, target_port: int | str) -> Endpoint | None:
    """Return the endpoint for `target_port`; None if the workload is not ready or has no port with that name."""
    number = workload.ports.get(target_port) if isinstance(target_port, str) else target_port
    if number is None or not workload.ready:
        return None
    if not workload.sidecar:
        return Endpoint(workload.address, number, workload.labels)
    # The caller's auto-mTLS depends on what the upstream sidecar accepts. Istio: EndpointBuilder, xds/endpoints.
    accepts_mutual_tls = mutual_tls_mode(rules, workload, number) != "DISABLE"
    return Endpoint(workload.address, number, workload.labels, accepts_mutual_tls, workload.spiffe_id)


# ServiceEntries


def _service_entry_hosts(topology: Topology, rules: Rules, rule: Rule[ServiceEntrySpec]) -> Iterator[Host]:
    for name in rule.spec.hosts:
        yield Host(
            name=name,
            namespace=rule.namespace,
            ports=tuple(Port(port.number, port.name, port.protocol.upper()) for port in rule.spec.ports),
            endpoints={
                port.number: tuple(_service_entry_endpoints(topology, rules, rule, name, port))
                for port in rule.spec.ports
            },
            is_external=rule.spec.location == "MESH_EXTERNAL",
        )


def _service_entry_endpoints(
    topology: Topology, rules: Rules, rule: Rule[ServiceEntrySpec], host: str, port: ServiceEntryPort
) -> Iterator[Endpoint]:
    # Without a resolution Istio uses the address that the application's own DNS lookup returned. The lab's sidecar is
    # a forward proxy, so it resolves the host itself.
    for index, entry in enumerate(rule.spec.endpoints or (WorkloadEntry(address=host),)):
        number = entry.ports.get(port.name, port.target_port or port.number)
        service = next((item for item in topology.services if entry.address in item.dns_names("")), None)
        if service is None:
            endpoint = Endpoint(entry.address, number, entry.labels)
            if rule.spec.resolution == "STATIC" and endpoint.ip is None:
                raise rule.document.error(
                    manifest_errors.endpoint_without_ip(entry.address), ("spec", "endpoints", index, "address")
                )
            yield endpoint
            continue
        service_port = next((item for item in service.ports if item.number == number), None)
        if service_port is None:
            known = [item.number for item in service.ports]
            error = manifest_errors.port_not_found(f"Service {service.name}", number, known)
            raise rule.document.error(error, ("spec", "endpoints", index))
        yield from (
            Endpoint(item.address, item.port, item.labels)
            for item in _service_endpoints(topology, rules, service, service_port)
        )
