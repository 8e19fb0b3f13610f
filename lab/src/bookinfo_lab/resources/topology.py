"""The running Services, workloads and gateways of a lab as plain values.

This module has the rules that apply to them everywhere: which pods a Service selects, and by which names it is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bookinfo_lab.resources.conventions import APP_LABEL, VERSION_LABEL

TRUST_DOMAIN = "cluster.local"
"""The SPIFFE trust domain, Istio's default (MeshConfig.trustDomain)."""

CLUSTER_DOMAIN = "cluster.local"
"""The DNS suffix of Services, Kubernetes' default."""


class Labeled(Protocol):
    """Anything that a Service can select: a workload, a gateway, or the Deployment of one."""

    @property
    def namespace(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether `labels` contain every label of `selector`. An empty selector selects everything."""
    return selector.items() <= labels.items()


def service_host(name: str, namespace: str) -> str:
    """Return the fully qualified name of a Service, e.g. `reviews.default.svc.cluster.local`."""
    return f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}"


def dns_names(name: str, namespace: str, client_namespace: str) -> tuple[str, ...]:
    """Return the DNS names of a Service for a client in `client_namespace`, the fully qualified one last.

    https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#services
    """
    short = (name,) if namespace == client_namespace else ()
    return (*short, f"{name}.{namespace}", f"{name}.{namespace}.svc", service_host(name, namespace))


@dataclass(frozen=True)
class ServicePort:
    """One port of a Service. `target_port` is a number, or the name of a container port."""

    number: int
    name: str
    target_port: int | str


@dataclass(frozen=True)
class Service:
    """A Kubernetes Service: a DNS name for the pods that its selector selects in its namespace."""

    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str]

    @property
    def host(self) -> str:
        """The fully qualified name, e.g. `reviews.default.svc.cluster.local`."""
        return service_host(self.name, self.namespace)

    def dns_names(self, client_namespace: str) -> tuple[str, ...]:
        """Return the names by which a client in `client_namespace` can call this Service."""
        return dns_names(self.name, self.namespace, client_namespace)

    def selects(self, pod: Labeled) -> bool:
        """Return whether `pod` is in this Service's namespace and has the labels of its selector.

        A Service without a selector selects nothing.
        """
        return self.namespace == pod.namespace and bool(self.selector) and selects(self.selector, pod.labels)


@dataclass(frozen=True)
class Workload:
    """A pod and its own loopback address.

    A sidecar listens on every container port of this address, and the application on a Unix socket in the proxy's
    directory. Without a sidecar the application listens on the address itself.
    """

    name: str  # the pod's name, e.g. "reviews-v1-6d8c4f7b9c-x2x7q"
    deployment: str  # e.g. "reviews-v1"
    namespace: str
    labels: Mapping[str, str]
    service_account: str
    address: str
    ports: Mapping[str, int]  # container ports by name, e.g. {"http": 9080}
    sidecar: bool = True
    ready: bool = True  # a pod that is not ready receives no traffic
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def app(self) -> str:
        """The label `app`, or ""."""
        return self.labels.get(APP_LABEL, "")

    @property
    def version(self) -> str:
        """The label `version`, or ""."""
        return self.labels.get(VERSION_LABEL, "")

    @property
    def spiffe_id(self) -> str:
        """The SPIFFE identity in its certificate."""
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.service_account}"


@dataclass(frozen=True)
class Gateway:
    """A gateway's Envoy.

    `ports` maps the port numbers of Gateway objects to the addresses on which the host listens for them, e.g.
    {8080: ("127.0.0.1", 8080)}.
    """

    name: str
    namespace: str
    labels: Mapping[str, str]  # for selectors, e.g. {"istio": "ingressgateway"}
    service_account: str
    address: str
    ports: Mapping[int, tuple[str, int]]
    resource: str = ""  # the Gateway of the Gateway API, in its namespace, for which alone it runs
    ready: bool = True  # a gateway that is not ready receives no traffic from the mesh

    @property
    def spiffe_id(self) -> str:
        """The SPIFFE identity in its certificate."""
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.service_account}"


@dataclass(frozen=True)
class Secret:
    """A Kubernetes Secret, decoded."""

    name: str
    namespace: str
    data: Mapping[str, str]


Proxy = Workload | Gateway
"""Anything that has an Envoy."""


@dataclass(frozen=True)
class Topology:
    """Everything that runs, and the Services that clients call."""

    services: tuple[Service, ...]
    workloads: tuple[Workload, ...]
    gateways: tuple[Gateway, ...]
    collector: tuple[str, int] | None = None  # the address of an OTLP/HTTP receiver for spans, if any
    recorded: bool = False  # whether proxies record each request for the lab itself
    secrets: tuple[Secret, ...] = ()

    def service_of(self, pod: Labeled) -> Service | None:
        """Return the first Service that selects `pod`."""
        return next((service for service in self.services if service.selects(pod)), None)
