"""How a workload without a sidecar calls Services by name: a relay of bytes, with no identity and no rules.

In a cluster such a pod asks DNS for an address and connects to it. Here names resolve at an HTTP proxy's port (the
pod's HTTP_PROXY), which picks a ready endpoint for each connection, as a Service's address does, and relays. What the
other side does to the connection, such as cutting it off where a certificate is missing, is done to the caller's.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from bookinfo_lab.resources.topology import ServicePort, Topology, Workload

Endpoint = tuple[str, int]

_HEAD_LIMIT = 65536
_CONNECT_WITHIN = 10.0
_PER_HOP = (b"connection:", b"proxy-connection:")


def endpoints(topology: Topology, host: str, port: int, namespace: str) -> list[Endpoint] | None:
    """Where `host` and `port` lead to, as seen from `namespace`; None if no Service has that name.

    An empty list: the Service has no such port or no ready endpoint.
    """
    for service in topology.services:
        if host.removesuffix(".").lower() in service.dns_names(namespace):
            workloads = [
                (workload.address, target)
                for service_port in service.ports
                if service_port.number == port
                for workload in topology.workloads
                if workload.ready and service.selects(workload)
                for target in [_target(service_port, workload)]
                if target is not None
            ]
            gateways = [
                gateway.ports[port]
                for gateway in topology.gateways
                if gateway.ready and service.selects(gateway) and port in gateway.ports
            ]
            return [*workloads, *gateways]
    return None


def _target(port: ServicePort, workload: Workload) -> int | None:
    return workload.ports.get(port.target_port) if isinstance(port.target_port, str) else port.target_port


class Relay:
    """Listens on a workload's address for what it calls."""

    def __init__(self, address: str, port: int, resolve: Callable[[str, int], Sequence[Endpoint] | None]) -> None:
        """`resolve` is like `endpoints`; a name that it does not know is left to the machine's resolver."""
        self._address = address
        self._port = port
        self._resolve = resolve
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen, until `stop`."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Listen no more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, self._address, self._port, limit=_HEAD_LIMIT)
        async with server:
            await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_CONNECT_WITHIN):
                host, port, head, answer = _request(await reader.readuntil(b"\r\n\r\n"))
                known = self._resolve(host, port)
                target = (host, port) if known is None else random.choice(known)  # noqa: S311 - not a secret
                far_reader, far_writer = await asyncio.open_connection(*target)
        except (OSError, TimeoutError, ValueError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()  # the caller sees what it would see of an address where nobody listens
            return
        far_writer.write(head)
        writer.write(answer)
        try:
            await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()


def _request(head: bytes) -> tuple[str, int, bytes, bytes]:
    """Of a request to a proxy: host, port, what goes on to there, and what is answered at once.

    One connection carries one request, because the next may be for another host.
    """
    line, *fields = head.rstrip(b"\r\n").split(b"\r\n")
    method, target, version = line.split(b" ")
    if method == b"CONNECT":
        authority = urlsplit(b"//" + target)
        return (authority.hostname or b"").decode(), authority.port or 443, b"", version + b" 200 OK\r\n\r\n"
    url = urlsplit(target)
    path = target.removeprefix(url.scheme + b"://" + url.netloc) or b"/"
    kept = [field for field in fields if not field.lower().startswith(_PER_HOP)]
    onward = b"\r\n".join([b" ".join([method, path, version]), *kept, b"Connection: close", b"", b""])
    return (url.hostname or b"").decode(), url.port or 80, onward, b""


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on all bytes, and then the end or the breaking off of the connection."""
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.transport.abort()
