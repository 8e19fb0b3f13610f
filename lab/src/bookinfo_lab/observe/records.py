"""What a proxy writes of each request, and what that says to somebody who knows the lab's addresses.

The operators: https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from bookinfo_lab.observe.requests import UNKNOWN, MeshRequest, Peer, Reporter
from bookinfo_lab.resources.topology import Gateway, Proxy, Service, Workload

FORMAT: Mapping[str, str] = {
    "start": "%START_TIME(%s.%6f)%",
    "microseconds": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "milliseconds": "%DURATION%",  # of what has no answer, and so no end of one
    "method": "%REQ(:METHOD):16%",
    "host": "%REQ(:AUTHORITY):255%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "callee": "%UPSTREAM_HOST%",
    "callee_id": "%UPSTREAM_PEER_URI_SAN%",
    "caller": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "caller_id": "%DOWNSTREAM_PEER_URI_SAN%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
    "trace": "%TRACE_ID%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
}
"""A record's fields, as Envoy's JSON formatter takes them. No header that could carry a credential is among them."""

REPORTER = "reporter"
"""One more field: on which side the proxy stands."""

PASSTHROUGH = "PassthroughCluster"
"""The called service of a host outside the mesh's registry that is let through, by Istio's name for it."""

BLOCKED = "BlackHoleCluster"
"""The same of one that is not."""

_CANONICAL_NAME = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_CANONICAL_REVISION = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
_MOST_PEERS = 4096


class Registry:
    """Who has which address. An address' last owner is remembered until another gets it."""

    def __init__(self, services: Callable[[], tuple[Service, ...]]) -> None:
        """`services` tells those that there are now."""
        self._services = services
        self._owners: dict[str, Proxy] = {}
        self._peers: dict[tuple[str, str], Peer] = {}

    def add(self, proxy: Proxy) -> None:
        """`proxy` has its address from now on."""
        self._owners[proxy.address] = proxy
        self._peers.clear()

    def peer(self, address: str, principal: str) -> Peer:
        """Who has that address; `principal` is the SPIFFE id that it has proved, or empty."""
        key = (address, principal)
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= _MOST_PEERS:
                self._peers.clear()
            peer = self._peers[key] = _peer(self._owners.get(address), principal or UNKNOWN)
        return peer

    def called(self, authority: str, namespace: str) -> tuple[str, int] | None:
        """The Service, and its port, that a caller in `namespace` means by `authority`."""
        name, _, port = authority.lower().partition(":")
        for service in self._services():
            if name in service.dns_names(namespace):
                return service.host, int(port) if port.isdecimal() else 80
        return None

    def behind(self, proxy: Proxy, port: int) -> tuple[str, int]:
        """The Service, and its port, that lead to `port` of `proxy`."""
        for service in self._services():
            if service.selects(proxy):
                for offered in service.ports:
                    if port == _number(proxy, offered.target_port):
                        return service.host, offered.number
        return UNKNOWN, port


def read(line: bytes, proxy: Proxy, registry: Registry) -> MeshRequest | None:
    """What `proxy` recorded in one line; None if it is no record, as the last one of an Envoy that was killed."""
    try:
        record: Mapping[str, Any] = json.loads(line)
        return _request(record, proxy, registry)
    except (ValueError, KeyError, TypeError):
        return None


def _request(record: Mapping[str, Any], proxy: Proxy, registry: Registry) -> MeshRequest:
    reporter: Reporter = record[REPORTER]
    caller_id, callee_id = record["caller_id"] or "", record["callee_id"] or ""
    if reporter == "source":
        # Istio tells the policy of a connection where it is accepted; a caller's principal is proved in the same act.
        source = registry.peer(proxy.address, proxy.spiffe_id if callee_id else "")
        destination, service, port = _called(record, proxy, registry, callee_id)
    else:
        source = registry.peer(record["caller"], caller_id)
        destination = registry.peer(proxy.address, proxy.spiffe_id if caller_id else "")
        service, port = registry.behind(proxy, int(record["port"]))
    microseconds = record["microseconds"]
    duration = microseconds / 1e6 if isinstance(microseconds, int) else record["milliseconds"] / 1e3
    return MeshRequest(
        ended=float(record["start"]) + duration,
        reporter=reporter,
        source=source,
        destination=destination,
        destination_service=service,
        destination_port=port,
        method=record["method"] or "",
        code=int(record["code"]),
        flags=_shared(record["flags"] or "-"),
        duration=duration,
        security="unknown" if reporter == "source" else "mutual_tls" if record["tls"] else "none",
        trace_id=record["trace"] or "",
        request_bytes=record["received"],
        response_bytes=record["sent"],
    )


def _called(record: Mapping[str, Any], proxy: Proxy, registry: Registry, principal: str) -> tuple[Peer, str, int]:
    """Who was called, as the caller's proxy knows it: the instance, if one was asked, the host and its port."""
    address = (record["callee"] or "").rpartition(":")[0]
    peer = registry.peer(address, principal)
    outbound = _outbound(record["cluster"] or "")
    if outbound is None and isinstance(proxy, Workload):
        outbound = registry.called(record["host"] or "", proxy.namespace)
    if outbound is not None:
        return peer, *outbound
    if isinstance(proxy, Gateway):  # a host that no rule is for: anybody can send any
        return peer, UNKNOWN, 0
    name = PASSTHROUGH if record["cluster"] else BLOCKED
    return Peer(service=name), (record["host"] or "").lower().partition(":")[0] or UNKNOWN, 0


@lru_cache(maxsize=1024)
def _outbound(cluster: str) -> tuple[str, int] | None:
    """The host and port of `outbound|9080|v1|reviews.default.svc.cluster.local`."""
    parts = cluster.split("|")
    return (parts[3], int(parts[1])) if len(parts) == 4 and parts[0] == "outbound" else None


@lru_cache(maxsize=1024)
def _shared(text: str) -> str:
    """One object for all that are equal."""
    return text


def _peer(owner: Proxy | None, principal: str) -> Peer:
    if owner is None:
        return Peer(principal=principal)
    workload = owner.deployment if isinstance(owner, Workload) else owner.name
    return Peer(
        workload=workload,
        namespace=owner.namespace,
        service=_first(owner.labels, _CANONICAL_NAME) or workload,
        version=_first(owner.labels, _CANONICAL_REVISION) or UNKNOWN,
        principal=principal,
    )


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if name in labels), "")


def _number(proxy: Proxy, target_port: int | str) -> int | None:
    """The port that a Service's targetPort names."""
    if isinstance(target_port, int):
        return target_port
    return proxy.ports.get(target_port) if isinstance(proxy, Workload) else None
