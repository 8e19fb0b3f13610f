"""The service graph: who called whom in the last seconds, made from what the proxies recorded.

Two proxies record most requests, the caller's and the called one's. The caller's record counts, because it alone knows
time-outs, tries, and faults that were injected before anybody was called; the called one's counts where the caller has
no proxy, and where it saw what no caller's record tells of: a mirrored request, or a try that was repeated elsewhere.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from bookinfo_lab.observe import response_flags as response_flags
from bookinfo_lab.observe.requests import UNKNOWN, MeshRequest, Peer
from bookinfo_lab.quantiles import quantile
from bookinfo_lab.resources.topology import Topology

NodeKind = Literal["gateway", "service", "client", "nobody", "external"]
"""`nobody`: a service of the lab, or no route to one, where a proxy answered, so that no workload of it was asked."""

Security = Literal["mutual_tls", "none", "mixed", "unknown"]

_SETTLED = 2.0
"""Seconds after which a caller's record that has not come does not come: proxies write theirs within one."""

_NOBODY = frozenset({"", UNKNOWN})
_NO_ROUTE = "no route"
"""In place of a service, where no route fitted: the proxy answered, and nobody was meant."""

_NO_WORKLOAD = "?"
"""Before a service's name: the id of a node that is no workload."""

_COLUMNS: Mapping[str, int] = {"productpage": 1, "details": 2, "reviews": 2, "ratings": 3}
"""Where Bookinfo's own services stand before any request has shown it. Others stand right of who calls them."""


@dataclass(frozen=True)
class Node:
    """A workload (its version apart), or what is known of a service that no workload answered for."""

    id: str
    kind: NodeKind
    service: str  # or, of a client or an outside host, its name
    version: str
    workload: str  # its Deployment; empty: nobody of this lab
    namespace: str
    sidecar: bool
    pods: int = 0
    ready: int = 0
    column: int = 0  # from left to right, callers before whom they call


@dataclass(frozen=True)
class Edge:
    """Calls of one node to another."""

    source: str
    destination: str
    rate: float  # requests a second
    share: float  # of the source's requests to this service, 0 to 1
    errors: float  # share without an answer or with a 5xx, 0 to 1
    refused: float  # share with a 4xx, 0 to 1
    median: float  # seconds
    p99: float  # seconds
    security: Security
    codes: Mapping[int, int]  # 0: no answer
    flags: Mapping[str, int]  # Envoy's response flags
    hidden: bool  # no caller's record tells of it

    @property
    def trouble(self) -> str:
        """What is wrong, in few words: what a rule does on purpose comes first. Empty: nothing is.

        Where no workload was asked, the share is of all calls to the service.
        """
        part = self.share if self.destination.startswith(_NO_WORKLOAD) else 1.0
        for flag, text in (("FI", "aborted"), ("DI", "delayed")):
            if flag in self.flags:
                return f"{percent(part * self.flags[flag] / sum(self.codes.values()))} {text}"
        if self.errors:
            return f"{percent(part * self.errors)} {'timed out' if 'UT' in self.flags else 'failed'}"
        return f"{percent(part * self.refused)} refused" if self.refused else ""

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        says = [f"{count} × {flag}, {response_flags.meaning(flag)}" for flag, count in self.flags.items()]
        injected = any(flag in self.flags for flag in response_flags.INJECTED)
        return asdict(self) | {"trouble": self.trouble, "injected": injected, "says": says}


@dataclass(frozen=True)
class Graph:
    """The nodes, from left to right, and the edges that had traffic."""

    window: float  # seconds over which rates are
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()

    @property
    def rate(self) -> float:
        """Requests a second that came in from outside: those of nodes that nobody calls, without what is mirrored."""
        called = {edge.destination for edge in self.edges}
        return sum(edge.rate for edge in self.edges if edge.source not in called and not edge.hidden)

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        nodes = [asdict(node) for node in self.nodes]
        edges = [edge.as_json() for edge in self.edges]
        return {"window": self.window, "rate": self.rate, "nodes": nodes, "edges": edges}


def from_json(told: Mapping[str, Any]) -> Graph:
    """What `Graph.as_json` tells of."""
    names = [item.name for item in fields(Edge)]
    edges = (
        Edge(**{name: edge[name] for name in names} | {"codes": {int(code): n for code, n in edge["codes"].items()}})
        for edge in told["edges"]
    )
    return Graph(told["window"], tuple(Node(**node) for node in told["nodes"]), tuple(edges))


def inventory(topology: Topology) -> list[Node]:
    """The nodes that stand in the graph whether they are called or not: all workloads and gateways."""
    nodes = [
        Node(
            id=_identity(gateway.namespace, gateway.name),
            kind="gateway",
            service=gateway.name.removeprefix("istio-"),
            version="",
            workload=gateway.name,
            namespace=gateway.namespace,
            sidecar=True,
            pods=1,
            ready=1,
        )
        for gateway in topology.gateways
    ]
    pods: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for workload in topology.workloads:
        pods[workload.namespace, workload.deployment].append(workload.ready)
    for workload in {(item.namespace, item.deployment): item for item in topology.workloads}.values():
        ready = pods[workload.namespace, workload.deployment]
        service = topology.service_of(workload)
        nodes.append(
            Node(
                id=_identity(workload.namespace, workload.deployment),
                kind="service" if service else "client",
                service=service.name if service else workload.app or workload.deployment,
                version=workload.version,
                workload=workload.deployment,
                namespace=workload.namespace,
                sidecar=workload.sidecar,
                pods=len(ready),
                ready=sum(ready),
            )
        )
    return nodes


def build(requests: Iterable[MeshRequest], standing: Sequence[Node], now: float, window: float) -> Graph:
    """The graph of the `window` seconds before `now` (seconds since 1970), with `standing` nodes whatever happened."""
    recent = [request for request in requests if now - 2 * window < request.ended <= now]
    counted = _counted(recent, {node.id for node in standing if node.sidecar}, now, now - window)
    nodes = {node.id: node for node in standing}
    services = {node.service for node in standing} | {_NO_ROUTE}
    edges = []
    to_service: Counter[tuple[str, str]] = Counter()
    for calls in counted.values():
        if not calls.hidden:
            to_service[calls.source, calls.service] += len(calls.requests)
    for calls in counted.values():
        for identity, peer in ((calls.source, calls.requests[0].source), (calls.destination, _called(calls))):
            nodes.setdefault(identity, _met(identity, peer, services))
        edges.append(calls.edge(window, to_service[calls.source, calls.service]))
    return Graph(window, _in_columns(nodes, edges), tuple(edges))


@dataclass
class _Calls:
    """What is counted of one edge."""

    source: str
    destination: str
    service: str
    hidden: bool = False
    requests: list[MeshRequest] = field(default_factory=list)
    securities: set[Security] = field(default_factory=set)

    def edge(self, window: float, to_service: int) -> Edge:
        """The edge; `to_service` is how many requests of the source to the service callers recorded."""
        requests = self.requests
        codes = Counter(request.code for request in requests)
        durations = sorted(request.duration for request in requests)
        known = self.securities - {"unknown"}
        security: Security = "mixed" if len(known) > 1 else next(iter(known), "unknown")
        return Edge(
            source=self.source,
            destination=self.destination,
            rate=len(requests) / window,
            share=min(len(requests) / to_service, 1.0) if to_service else 1.0,
            errors=sum(count for code, count in codes.items() if code == 0 or code >= 500) / len(requests),
            refused=sum(count for code, count in codes.items() if 400 <= code < 500) / len(requests),
            median=quantile(durations, 0.5),
            p99=quantile(durations, 0.99),
            security=security,
            codes=dict(sorted(codes.items())),
            flags=dict(
                sorted(Counter(flag for request in requests for flag in response_flags.split(request.flags)).items())
            ),
            hidden=self.hidden,
        )


def percent(share: float) -> str:
    """A share of 1 as people say it."""
    if 0 < share < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def _counted(
    recent: Sequence[MeshRequest], proxied: Collection[str], now: float, since: float
) -> dict[tuple[str, str], _Calls]:
    """The requests since then by edge, each counted once."""
    told = {_edge_of(request) for request in recent if request.reporter == "source"}
    reporting = {source for source, _ in told} | set(proxied)
    counted: dict[tuple[str, str], _Calls] = {}
    heard: defaultdict[tuple[str, str], set[Security]] = defaultdict(set)
    for request in recent:
        if request.ended <= since:
            continue
        edge = _edge_of(request)
        heard[edge].add(request.security)
        hidden = False
        if request.reporter == "destination" and edge[0] in reporting:
            if edge in told or request.ended > now - _SETTLED:
                continue
            hidden = True
        calls = counted.setdefault(edge, _Calls(*edge, service=_service_of(request), hidden=hidden))
        calls.requests.append(request)
    for edge, calls in counted.items():
        calls.securities = heard[edge]
    return counted


def _edge_of(request: MeshRequest) -> tuple[str, str]:
    return _peer(request.source, request.source.service), _peer(request.destination, _service_of(request))


def _peer(peer: Peer, name: str) -> str:
    if peer.workload in _NOBODY:
        return f"{_NO_WORKLOAD}{name}"
    return _identity(peer.namespace, peer.workload)


def _identity(namespace: str, workload: str) -> str:
    return f"{namespace}/{workload}"


def _service_of(request: MeshRequest) -> str:
    """The host that was called, as briefly as people write it."""
    host = request.destination_service
    if host in _NOBODY:
        return _NO_ROUTE
    return host.partition(".")[0] if host.endswith(".svc.cluster.local") else host


def _called(calls: _Calls) -> Peer:
    peer = calls.requests[0].destination
    return peer if peer.workload not in _NOBODY else Peer(service=calls.service)


def _met(identity: str, peer: Peer, services: Collection[str]) -> Node:
    """A node for who does not stand in the lab, or no longer."""
    unknown = peer.workload in _NOBODY
    return Node(
        id=identity,
        kind="service" if not unknown else "nobody" if peer.service in services else "external",
        service="somebody" if peer.service in _NOBODY else peer.service,
        version="" if peer.version in _NOBODY else peer.version,
        workload="" if unknown else peer.workload,
        namespace=peer.namespace,
        sidecar=False,
    )


def _in_columns(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> tuple[Node, ...]:
    """The nodes from left to right: each one right of the leftmost that calls it."""
    called: defaultdict[str, set[str]] = defaultdict(set)
    for edge in edges:
        called[edge.source].add(edge.destination)
    reached = set().union(*called.values())
    columns = {}
    for identity, node in nodes.items():
        if node.service in _COLUMNS:
            columns[identity] = _COLUMNS[node.service]
        elif identity not in reached:
            columns[identity] = 0
    waiting = deque(sorted(columns, key=lambda identity: columns[identity]))
    while waiting:
        caller = waiting.popleft()
        for identity in sorted(called[caller] - columns.keys()):
            columns[identity] = columns[caller] + 1
            waiting.append(identity)
    placed = [replace(node, column=columns.get(identity, 0)) for identity, node in nodes.items()]
    return tuple(sorted(placed, key=lambda node: (node.column, node.kind != "gateway", node.service, node.version)))
