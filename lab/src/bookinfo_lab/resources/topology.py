"""What runs in a lab, as plain values: the input of rendering and the output of starting workloads.

Nothing here reads a file or starts a process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

TRUST_DOMAIN = "cluster.local"
"""The SPIFFE trust domain, Istio's default (MeshConfig.trustDomain)."""

CLUSTER_DOMAIN = "cluster.local"
"""The DNS suffix of Services, Kubernetes' default."""


@dataclass(frozen=True)
class ServicePort:
    """One port of a Service. `target_port` is a number, or the name of a container's port."""

    number: int
    name: str
    target_port: int | str


@dataclass(frozen=True)
class Service:
    """A Kubernetes Service: a DNS name for the workloads that its selector picks in its namespace."""

    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str]

    @property
    def host(self) -> str:
        """The fully qualified name, e.g. `reviews.default.svc.cluster.local`."""
        return f"{self.name}.{self.namespace}.svc.{CLUSTER_DOMAIN}"


@dataclass(frozen=True)
class Workload:
    """One running instance (in Kubernetes: a pod).

    `address` is a loopback address of its own. With a sidecar the sidecar listens there on every container port and
    the application listens on the Unix socket `app.sock` in the folder in which both processes run; without one
    (`sidecar` false) the application listens on the address itself.
    """

    name: str  # the pod's name, e.g. "reviews-v1-6d8c4f7b9c-x2x7q"
    deployment: str  # e.g. "reviews-v1"
    namespace: str
    labels: Mapping[str, str]
    service_account: str
    address: str
    ports: Mapping[str, int]  # container ports by name, e.g. {"http": 9080}
    sidecar: bool = True
    ready: bool = True  # an instance that is not ready receives no traffic
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def spiffe_id(self) -> str:
        """The identity in its certificate, as Istio forms it."""
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.service_account}"


@dataclass(frozen=True)
class Gateway:
    """An Envoy at the edge (in Istio: the `istio-ingressgateway` workload).

    `ports` maps the port numbers that Gateway resources name to where the host listens for them, e.g.
    {8080: ("127.0.0.1", 8080)}. `resource` is the Gateway of the Gateway API for which alone it runs, if it does.
    """

    name: str
    namespace: str
    labels: Mapping[str, str]  # what a Gateway's selector matches, e.g. {"istio": "ingressgateway"}
    service_account: str
    address: str
    ports: Mapping[int, tuple[str, int]]
    resource: str = ""  # in its own namespace
    ready: bool = True  # one that is not ready receives no traffic from the mesh

    @property
    def spiffe_id(self) -> str:
        """The identity in its certificate, as Istio forms it."""
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.service_account}"


@dataclass(frozen=True)
class Secret:
    """A Kubernetes Secret, decoded."""

    name: str
    namespace: str
    data: Mapping[str, str]


Proxy = Workload | Gateway
"""Whatever has an Envoy."""


@dataclass(frozen=True)
class Topology:
    """Everything that runs, and the Services by which it is called."""

    services: tuple[Service, ...]
    workloads: tuple[Workload, ...]
    gateways: tuple[Gateway, ...]
    collector: tuple[str, int] | None = None  # where an OTLP/HTTP receiver takes spans, if there is one
    recorded: bool = False  # whether proxies record each request for the lab itself
    secrets: tuple[Secret, ...] = ()
