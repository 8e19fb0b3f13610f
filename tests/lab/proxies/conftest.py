"""A small mesh of real Envoys, without the lab's supervisor: tests observe what a rule does to requests.

productpage, reviews v1 and v2, two ratings a workload without sidecar, and three gateways. Each workload
runs a small application that returns what it received.
"""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import (
    TRUST_DOMAIN,
    Gateway,
    Proxy,
    Secret,
    Service,
    ServicePort,
    Topology,
    Workload,
)
from bookinfo_lab.runtime import addresses, ca, xds_files
from bookinfo_lab.runtime import envoy as envoy_binary
from bookinfo_lab.runtime.validation import validate
from bookinfo_lab.translate import bootstrap, translate
from bookinfo_lab.translate.listeners import OUTBOUND_PORT

PORT = 9080
DEADLINE = 15.0

GATEWAY_RULES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 8080, name: http, protocol: HTTP}
      hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
    - match: [{uri: {prefix: /}}]
      route: [{destination: {host: productpage}}]
"""


@dataclass(frozen=True)
class Response:
    """An HTTP response, and the seconds until it was complete."""

    status: int
    headers: dict[str, str]
    body: str
    seconds: float

    @property
    def received(self) -> Any:
        """The request as the application received it: name of the application, path, method and headers."""
        return json.loads(self.body)


@dataclass
class App:
    """An application: /status/N returns N, /sleep/S takes S seconds, /flaky alternates between 503 and 200."""

    name: str
    requests: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)  # the Host headers of the same requests
    always: int | None = None  # the status of every response

    def __post_init__(self) -> None:
        self.flaky = itertools.cycle((503, 200))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    app: App

    def respond(self) -> None:
        self.app.requests.append(self.path)
        self.app.hosts.append(self.headers["host"])
        path = self.path.partition("?")[0].split("/")
        if path[1] == "sleep":
            time.sleep(float(path[2]))
        status = int(path[2]) if path[1] == "status" else next(self.app.flaky) if path[1] == "flaky" else 200
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = {"name": self.app.name, "path": self.path, "method": self.command, "headers": headers}
        body = json.dumps(received).encode()
        self.send_response(self.app.always or status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_OPTIONS = respond  # noqa: N815  # the base class names them

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class _TCPServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(app: App) -> type[_Handler]:
    return type("Handler", (_Handler,), {"app": app})


class Connection:
    """One persistent connection, to a proxy or directly to an address."""

    def __init__(self, address: str, port: int, base: str = "") -> None:
        self._connection = http.client.HTTPConnection(address, port, timeout=DEADLINE)
        self._base = base
        self._connection.connect()
        self._socket = self._connection.sock

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._connection.sock is None:
            self._connection.connect()
        started = time.monotonic()
        self._connection.request(method, self._base + path, headers=named)
        response = self._connection.getresponse()
        body = response.read().decode()
        response_headers = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, response_headers, body, time.monotonic() - started)

    @property
    def is_unchanged(self) -> bool:
        """Whether no new connection was opened."""
        return self._connection.sock in (self._socket, None)

    def close(self) -> None:
        self._connection.close()


class RunningMesh:
    """Real Envoys for a small topology, and their current rules."""

    def __init__(self, envoy: Path, root: Path, network: addresses.AddressRange) -> None:
        self._envoy = envoy
        self._root = root
        self._versions = itertools.count(1)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._servers: list[socketserver.BaseServer] = []
        self._authority = ca.create_authority(TRUST_DOMAIN)
        self.apps: dict[str, App] = {}
        self.collector = App("collector")
        self.network = network
        self.edge = network.take()
        self.shop = network.take()
        self.egress_address = network.take()
        self.topology = self._topology(network)

    def _topology(self, network: addresses.AddressRange) -> Topology:
        def workload(app: str, version: str, number: int = 1, *, sidecar: bool = True) -> Workload:
            return Workload(
                name=f"{app}-{version}-{number}",
                deployment=f"{app}-{version}",
                namespace="default",
                labels={"app": app, "version": version},
                service_account=f"bookinfo-{app}",
                address=network.take(),
                ports={"http": PORT},
                sidecar=sidecar,
            )

        def service(app: str, **version: str) -> Service:
            name = "-".join((app, *version.values()))
            return Service(name, "default", (ServicePort(PORT, "http", "http"),), {"app": app, **version})

        names = ("productpage", "reviews", "ratings", "plain", "outside")
        egress = Service(
            "egress",
            "default",
            tuple(ServicePort(port, f"http-{port}", port) for port in (80, 443)),
            {"istio": "egress"},
        )
        versions = [service("reviews", version=version) for version in ("v1", "v2", "v9")]
        return Topology(
            services=(*(service(name) for name in names), *versions, egress),
            workloads=(
                workload("productpage", "v1"),
                workload("reviews", "v1"),
                workload("reviews", "v2"),
                workload("ratings", "v1", 1),
                workload("ratings", "v1", 2),
                workload("plain", "v1", sidecar=False),
            ),
            gateways=(
                Gateway(
                    "gateway", "istio-system", {"istio": "ingressgateway"}, "edge", self.edge, {8080: (self.edge, 8080)}
                ),
                Gateway(
                    name="shop-istio",
                    namespace="default",
                    labels={"gateway.networking.k8s.io/gateway-name": "shop"},
                    service_account="shop-istio",
                    address=self.shop,
                    ports={80: (self.shop, 8080), 81: (self.shop, 8081)},
                    resource="shop",
                ),
                Gateway(
                    name="egress",
                    namespace="default",
                    labels={"istio": "egress"},
                    service_account="egress",
                    address=self.egress_address,
                    ports={80: (self.egress_address, 8080), 443: (self.egress_address, 8443)},
                ),
            ),
            secrets=(Secret("outside-ca", "default", {}),),
            collector=(self.edge, 4318),
        )  # fmt: skip

    def start(self) -> None:
        self.serve_tcp(self.collector, self.edge, 4318)
        for workload in self.topology.workloads:
            app = self.apps[workload.name] = App(workload.name)
            if workload.sidecar:
                directory = self._prepare(workload)
                server = _UnixServer(str(directory / proxy_directory.APP_SOCKET), _handler(app))
                self._run(server)
            else:
                self.serve_tcp(app, workload.address, PORT)
        for gateway in self.topology.gateways:
            self._prepare(gateway)
        self.write("")
        for proxy in self._proxies():
            directory = self._root / proxy.name
            with (directory / "envoy.log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen([self._envoy, *bootstrap.arguments()], cwd=directory, stdout=log, stderr=log)
                )
        self._wait_live({})

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(DEADLINE)
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def serve_tcp(self, app: App, address: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """An application outside the mesh."""
        server = _TCPServer((address, port), _handler(app))
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self._run(server)

    def write(self, rules: str) -> None:
        """Translate `rules`, in addition to those of the gateway, and write the configuration without waiting."""
        documents = read_documents(f"{GATEWAY_RULES}\n---\n{rules}", "test.yaml")
        self.configs = translate(self.topology, Rules.parse(documents))
        for name, config in self.configs.items():
            xds_files.write(self._root / name, config, str(next(self._versions)))

    def apply(self, rules: str) -> None:
        """Apply `rules`, and wait until every proxy uses them."""
        before = {proxy.name: xds_files.rejections(self.stats(proxy.name)) for proxy in self._proxies()}
        self.write(rules)
        self._wait_live(before)
        for name, config in self.configs.items():
            xds_files.prune(self._root / name, config, str(next(self._versions)))
        self._wait_live(before)

    def rejection(self, rules: str, name: str) -> str | None:
        """Envoy's error about `rules` for the proxy `name`, without applying them; None if it accepts them."""
        configs = translate(self.topology, Rules.parse(read_documents(rules, "test.yaml")))
        proxy = next(proxy for proxy in self._proxies() if proxy.name == name)
        return validate(self._envoy, proxy, configs[name], self._root / name, self.topology.collector)

    def workload(self, name: str) -> Workload:
        return next(workload for workload in self.topology.workloads if workload.name == name)

    def connect(self, caller: str, host: str, port: int = PORT) -> Connection:
        """A connection from `caller`'s application to its sidecar, for calls to `host`."""
        return Connection(self.workload(caller).address, OUTBOUND_PORT, f"http://{host}:{port}")

    def call(
        self, host: str, path: str = "/", caller: str = "productpage-v1-1", port: int = PORT, **options: str
    ) -> Response:
        """Send one request of `caller`'s application through its sidecar."""
        with contextlib.closing(self.connect(caller, host, port)) as connection:
            return connection.get(path, **options)

    def calls(self, count: int, host: str, path: str = "/", **options: str) -> Counter[str]:
        """Count the responses to `count` requests on one connection: by workload, or by status if it is not 200."""
        with contextlib.closing(self.connect("productpage-v1-1", host)) as connection:
            responses = [connection.get(path, **options) for _ in range(count)]
        return Counter(
            response.received["name"] if response.status == 200 else str(response.status) for response in responses
        )

    def direct(self, name: str) -> Connection:
        """A plaintext connection to a workload's own address, from outside the mesh."""
        return Connection(self.workload(name).address, PORT)

    def request_gateway(self, path: str = "/", method: str = "GET", **headers: str) -> Response:
        """Send one request from outside the mesh through the gateway."""
        with contextlib.closing(Connection(self.edge, 8080)) as connection:
            return connection.get(path, method, **headers)

    def request_shop(self, path: str = "/", method: str = "GET", port: int = 8080, **headers: str) -> Response:
        """Send one request from outside through the Gateway `shop`, whose ports 80 and 81 are 8080 and 8081."""
        with contextlib.closing(Connection(self.shop, port)) as connection:
            return connection.get(path, method, **headers)

    def stats(self, name: str) -> str:
        """The statistics of a proxy that show the versions of its configuration."""
        return self.admin(name, f"/stats?filter={xds_files.STATS_FILTER}")

    def admin(self, name: str, path: str) -> str:
        connection = http.client.HTTPConnection("admin", timeout=DEADLINE)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(str(self._root / name / proxy_directory.ADMIN_SOCKET))
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def log(self, name: str) -> str:
        """The log of a proxy."""
        return (self._root / name / "envoy.log").read_text()

    def _proxies(self) -> list[Proxy]:
        return [*(workload for workload in self.topology.workloads if workload.sidecar), *self.topology.gateways]

    def _prepare(self, proxy: Proxy) -> Path:
        directory = self._root / proxy.name
        directory.mkdir(mode=0o700)
        ca.issue(self._authority, proxy.spiffe_id, directory)
        (directory / proxy_directory.BOOTSTRAP).write_text(
            json.dumps(bootstrap.bootstrap(proxy, self.topology.collector))
        )
        return directory

    def _run(self, server: socketserver.BaseServer) -> None:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._servers.append(server)

    def _wait_live(self, before: dict[str, dict[str, int]]) -> None:
        deadline = time.monotonic() + DEADLINE
        for proxy in self._proxies():
            expected = xds_files.versions(self._root / proxy.name, self.configs[proxy.name])
            while True:
                with contextlib.suppress(OSError):
                    progress = xds_files.progress(self.stats(proxy.name), expected, before.get(proxy.name, {}))
                    assert not progress.rejected, (
                        f"{proxy.name} rejects {progress.rejected}: {self.log(proxy.name)[-2000:]}"
                    )
                    if progress.live:
                        break
                assert time.monotonic() < deadline, f"{proxy.name} is not live: {self.log(proxy.name)[-2000:]}"
                time.sleep(0.01)


@pytest.fixture(scope="session")
def _running_mesh() -> Iterator[RunningMesh]:
    try:
        envoy = envoy_binary.find(os.environ)
    except LabError as error:
        if os.environ.get("BOOKINFO_TEST_ALL") == "1":
            raise
        pytest.skip(str(error))
    root = Path(tempfile.mkdtemp(prefix="mesh-"))  # short, because the path of a Unix socket is limited
    network = addresses.reserve(str(root))
    mesh = RunningMesh(envoy, root, network)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()
        network.close()
        shutil.rmtree(root)


@pytest.fixture
def mesh(_running_mesh: RunningMesh) -> Iterator[RunningMesh]:
    """The mesh without rules and without recorded requests."""
    for app in _running_mesh.apps.values():
        app.requests.clear()
        app.hosts.clear()
    yield _running_mesh
    for app in _running_mesh.apps.values():
        app.always = None
    _running_mesh.apply("")
