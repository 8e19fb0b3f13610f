"""The services that proxies can call, as Istio's registry knows them."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import ServiceEntryPort, ServiceEntrySpec, WorkloadEntry
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.model.security import AuthorizationPolicySpec, RequestAuthenticationSpec
from bookinfo_lab.resources.topology import (
    Gateway,
    Proxy,
    Service,
    ServicePort,
    Topology,
    Workload,
    dns_names,
    service_host,
)
from bookinfo_lab.translate.names import ROOT_NAMESPACE
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode

_TUNNELLED = ("HTTPS", "TLS", "TCP", "MONGO", "MYSQL", "REDIS")
_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", *_TUNNELLED)

Policy = Rule[AuthorizationPolicySpec] | Rule[RequestAuthenticationSpec]


@dataclass(frozen=True)
class Port:
    """A port of a host. `protocol` is one of Istio's, in capitals."""

    number: int
    name: str
    protocol: str

    @property
    def tunnelled(self) -> bool:
        """Whether a proxy passes its bytes on unread: clients reach it by CONNECT."""
        return self.protocol in _TUNNELLED


@dataclass(frozen=True)
class Endpoint:
    """Where one instance of a host listens."""

    address: str  # an IP address, or a DNS name
    port: int
    labels: Mapping[str, str]
    mutual_tls: bool = False  # whether a sidecar accepts mutual TLS there
    identity: str | None = None  # the SPIFFE identity that it shows

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """Its address, unless that is a DNS name."""
        try:
            return ipaddress.ip_address(self.address)
        except ValueError:
            return None


@dataclass(frozen=True)
class Host:
    """A name that clients can call: a Service of the lab, or of the world outside."""

    name: str
    namespace: str
    ports: tuple[Port, ...]
    endpoints: Mapping[int, tuple[Endpoint, ...]]  # by port number
    external: bool = False  # outside the mesh: no mutual TLS

    def port(self, number: int) -> Port | None:
        """The port with that number, if there is one."""
        return next((port for port in self.ports if port.number == number), None)

    @property
    def identities(self) -> tuple[str, ...]:
        """Every identity that an instance of it may show."""
        endpoints = [endpoint for group in self.endpoints.values() for endpoint in group]
        return tuple(sorted({endpoint.identity for endpoint in endpoints if endpoint.identity}))

    def names(self, namespace: str) -> tuple[str, ...]:
        """How a client in `namespace` may write its name. Istio: generateVirtualHostDomains, core/httproute.go."""
        short = self.name.removesuffix(service_host("", self.namespace))
        if self.external or short == self.name:
            return (self.name,)
        return dns_names(short, self.namespace, namespace)


@dataclass(frozen=True)
class Mesh:
    """What runs and what holds: the input of every rendering function."""

    topology: Topology
    rules: Rules

    @cached_property
    def hosts(self) -> Mapping[str, Host]:
        """Every host by its full name; a Service takes precedence over a ServiceEntry for the same name."""
        services = [self._service(service) for service in self.topology.services]
        entries = [host for rule in self.rules.service_entries for host in self._entry(rule)]
        return {host.name: host for host in [*entries, *services]}

    def _service(self, service: Service) -> Host:
        return Host(
            name=service.host,
            namespace=service.namespace,
            ports=tuple(Port(port.number, port.name, _declared_protocol(port.name)) for port in service.ports),
            endpoints={port.number: self._instances(service, port) for port in service.ports},
        )

    def _instances(self, service: Service, port: ServicePort) -> tuple[Endpoint, ...]:
        workloads = [
            endpoint
            for workload in self.topology.workloads
            if service.selects(workload) and (endpoint := self._endpoint(workload, port.target_port)) is not None
        ]
        gateways = [
            Endpoint(*gateway.ports[port.number], gateway.labels, identity=gateway.spiffe_id)
            for gateway in self.topology.gateways
            if service.selects(gateway) and gateway.ready and port.number in gateway.ports
        ]
        return (*workloads, *gateways)

    def _endpoint(self, workload: Workload, target_port: int | str) -> Endpoint | None:
        """Where `workload` serves `target_port`; None if it is not ready or has no port of that name."""
        number = workload.ports.get(target_port) if isinstance(target_port, str) else target_port
        if number is None or not workload.ready:
            return None
        if not workload.sidecar:
            return Endpoint(workload.address, number, workload.labels)
        # A caller's auto-mTLS follows what the called side accepts. Istio: EndpointBuilder, xds/endpoints.
        mutual_tls = mutual_tls_mode(self.rules, workload, number) != "DISABLE"
        return Endpoint(workload.address, number, workload.labels, mutual_tls, workload.spiffe_id)

    def _entry(self, rule: Rule[ServiceEntrySpec]) -> Iterator[Host]:
        for name in rule.spec.hosts:
            yield Host(
                name=name,
                namespace=rule.namespace,
                ports=tuple(Port(port.number, port.name, port.protocol.upper()) for port in rule.spec.ports),
                endpoints={port.number: tuple(self._entry_endpoints(rule, name, port)) for port in rule.spec.ports},
                external=rule.spec.location == "MESH_EXTERNAL",
            )

    def _entry_endpoints(self, rule: Rule[ServiceEntrySpec], host: str, port: ServiceEntryPort) -> Iterator[Endpoint]:
        # Without a resolution Istio goes where the application's own DNS lookup said; a forward proxy looks it up.
        for index, entry in enumerate(rule.spec.endpoints or (WorkloadEntry(address=host),)):
            number = entry.ports.get(port.name, port.target_port or port.number)
            service = next((item for item in self.topology.services if entry.address in item.dns_names("")), None)
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
                raise rule.document.error(
                    manifest_errors.port_not_found(f"Service {service.name}", number, known),
                    ("spec", "endpoints", index),
                )
            yield from (
                Endpoint(item.address, item.port, item.labels) for item in self._instances(service, service_port)
            )


def selects(selector: Mapping[str, str], proxy: Proxy) -> bool:
    """Whether `proxy` has every label of `selector`; an empty selector selects everything."""
    return all(proxy.labels.get(key) == value for key, value in selector.items())


def holds_for(rule: Policy, proxy: Proxy) -> bool:
    """Whether a policy is for `proxy`: by what it targets, or else by namespace and selector.

    Istio: PolicyMatcher, pilot/pkg/model/policyattachment.go.
    """
    if rule.spec.target_refs:
        resources = [(rule.namespace, target.name) for target in rule.spec.target_refs]
        return isinstance(proxy, Gateway) and (proxy.namespace, proxy.resource) in resources
    labels = rule.spec.selector.match_labels if rule.spec.selector else {}
    return rule.namespace in (proxy.namespace, ROOT_NAMESPACE) and selects(labels, proxy)


def visible(export_to: Iterable[str], owner: str, namespace: str) -> bool:
    """Whether an object of namespace `owner` is exported to `namespace`."""
    return any(scope in ("*", namespace) or (scope == "." and owner == namespace) for scope in export_to)


def _declared_protocol(port_name: str) -> str:
    """The protocol that a Service's port name declares (`http-api` is HTTP); one that declares none carries HTTP here.

    Istio: protocol.Parse, pkg/config/protocol; it would look at the first bytes instead.
    """
    prefix = port_name.partition("-")[0].upper()
    return prefix if prefix in _PROTOCOLS else "HTTP"
