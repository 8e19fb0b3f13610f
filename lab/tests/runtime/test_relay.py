"""The relay of a workload without a sidecar."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest

from bookinfo_lab.resources.topology import Gateway, Service, ServicePort, Topology, Workload
from bookinfo_lab.runtime import relay
from bookinfo_lab.runtime.relay import Endpoint, Relay


def workload(address: str, *, app: str = "details", ready: bool = True, namespace: str = "default") -> Workload:
    return Workload(address, "d", namespace, {"app": app}, "sa", address, {"http": 9080}, ready=ready)


def service(name: str = "details", namespace: str = "default", target: int | str = "http") -> Service:
    return Service(name, namespace, (ServicePort(80, "http", target),), {"app": "details"})


def topology(*workloads: Workload, target: int | str = "http") -> Topology:
    return Topology((service(target=target), service(namespace="other")), workloads, ())


@pytest.mark.parametrize(
    "host",
    ["details", "DETAILS", "details.default", "details.default.svc", "details.default.svc.cluster.local", "details."],
)
def test_a_services_names_lead_to_its_ready_pods(host: str) -> None:
    pods = (workload("127.64.0.2"), workload("127.64.0.3", ready=False), workload("127.64.0.4", app="ratings"))
    assert relay.endpoints(topology(*pods), host, 80, "default") == [("127.64.0.2", 9080)]


def test_a_short_name_is_of_the_callers_namespace() -> None:
    pods = (workload("127.64.0.2"), workload("127.64.0.3", namespace="other"))
    assert relay.endpoints(topology(*pods), "details", 80, "other") == [("127.64.0.3", 9080)]
    assert relay.endpoints(topology(*pods), "details.other", 80, "default") == [("127.64.0.3", 9080)]


def test_a_target_port_is_a_number_or_a_name() -> None:
    pod = workload("127.64.0.2")
    assert relay.endpoints(topology(pod, target=9999), "details", 80, "default") == [("127.64.0.2", 9999)]
    assert relay.endpoints(topology(pod, target="none"), "details", 80, "default") == []


@pytest.mark.parametrize(("ready", "led"), [(True, [("127.0.0.1", 8081)]), (False, [])])
def test_a_services_name_leads_to_its_gateway(ready: bool, led: list[Endpoint]) -> None:
    ports = {80: ("127.0.0.1", 8081)}
    edge = Gateway("edge", "default", {"app": "details"}, "edge", "127.64.0.5", ports, ready=ready)
    assert relay.endpoints(Topology((service(),), (), (edge,)), "details", 80, "default") == led


def test_another_port_leads_nowhere_and_another_name_is_unknown() -> None:
    assert relay.endpoints(topology(workload("127.64.0.2")), "details", 81, "default") == []
    assert relay.endpoints(topology(), "books.example", 80, "default") is None


def through(
    send: bytes,
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    resolve: Callable[[Endpoint], Sequence[Endpoint] | None] = lambda server: [server],
) -> bytes:
    """What a caller that sends so gets from a server, through a relay."""

    async def run() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        relay = Relay("127.0.0.1", port, lambda _host, _port: resolve(address))
        relay.start()
        try:
            async with server, asyncio.timeout(10):
                while True:
                    try:
                        reader, writer = await asyncio.open_connection("127.0.0.1", port)
                        break
                    except ConnectionRefusedError:  # it does not listen yet
                        await asyncio.sleep(0.01)
                writer.write(send)
                try:
                    return await reader.read()
                finally:
                    writer.close()
                    await asyncio.sleep(0.05)  # for the other ends to close
        finally:
            await relay.stop()

    return asyncio.run(run())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readuntil(b"\r\n\r\n"))
    writer.close()


def test_a_request_goes_on_in_the_form_that_a_server_gets_and_for_one_answer() -> None:
    sent = b"GET http://details:9080/details/0?a=b HTTP/1.1\r\nHost: details:9080\r\nConnection: keep-alive\r\n\r\n"
    got = through(sent, echo)
    assert got == b"GET /details/0?a=b HTTP/1.1\r\nHost: details:9080\r\nConnection: close\r\n\r\n"


def test_a_body_is_passed_on() -> None:
    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(await reader.readexactly(5))
        writer.close()

    assert through(b"POST http://details/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", read) == b"hello"


def test_a_tunnel_passes_bytes_as_they_are() -> None:
    got = through(b"CONNECT details:9080 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", echo)
    assert got == b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n"


def test_a_connection_that_the_other_side_cuts_off_is_cut_off() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert through(b"GET http://details/ HTTP/1.1\r\n\r\n", refuse) == b""


def test_a_service_without_endpoints_gives_no_answer() -> None:
    assert through(b"GET http://details/ HTTP/1.1\r\n\r\n", echo, lambda _server: []) == b""


@pytest.mark.parametrize("garbage", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_gets_no_answer(garbage: bytes) -> None:
    assert through(garbage, echo) == b""
