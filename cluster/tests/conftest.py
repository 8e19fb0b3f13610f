"""`bookinfo verify --context` as people run it: a stand-in for kubectl on PATH, a gateway that heeds its objects."""

import copy
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bookinfo_testing.fake_kubectl import FakeKubectl

ROOT = Path(__file__).parents[2]
PAGE = "<title>Simple Bookstore App</title> reviews-v{version}-5d4f8c7b9-abcde {parts}"
PARTS = {"details": "PublisherA", "reviews": "Book Reviews"}
WITHOUT = "Sorry, product {service} are currently unavailable for this book."
WORKLOADS = ("productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")

Json = dict[str, Any]


class Cluster(FakeKubectl):
    """The stand-in's file, the gateway in front of it, and the command that verifies it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__(folder / "cluster.json")
        self.slow = 0.0  # seconds until the gateway heeds a change
        self.gateway = ""
        labels = {"app": "productpage", "version": "v1"}
        self.update(
            objects={
                **{f"deployment/{name}": owned("apps/v1", "Deployment", name) for name in WORKLOADS},
                "gateway/bookinfo-gateway": owned("networking.istio.io/v1", "Gateway", "bookinfo-gateway"),
                "virtualservice/bookinfo": owned("networking.istio.io/v1", "VirtualService", "bookinfo"),
            },
            pods=[
                {
                    "metadata": {"name": "productpage-v1-1", "labels": labels},
                    "spec": {"containers": [{"name": "productpage"}, {"name": "istio-proxy"}]},
                }
            ],
            version=100,
        )
        self._deploy("productpage-v1", labels)
        self._at_first = copy.deepcopy(self.state["objects"])
        self.install(folder / "bin")
        self._env = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def _deploy(self, name: str, labels: dict[str, str]) -> None:
        objects = self.state["objects"]
        objects[f"deployment/{name}"]["spec"]["selector"] = {"matchLabels": labels}
        self.update(objects=objects)

    def runs(self, service: str) -> bool:
        """Whether any Deployment of the service has pods."""
        deployments = {
            name: item for name, item in self.state["objects"].items() if name.startswith(f"deployment/{service}-")
        }
        return any(item["spec"].get("replicas", 1) for item in deployments.values())

    @property
    def is_open(self) -> bool:
        """Whether the gateway has rules, as far as it has heard."""
        heard = time.time() - self.slow
        there = "virtualservice/bookinfo" in self._at_first
        for when, verb, name in self.state["changes"]:
            if name == "virtualservice/bookinfo" and when <= heard:
                there = verb != "delete"
        return there

    def verify(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bookinfo_lab", "verify"]
        command += ["--context", "test", "--namespace", "books", "--gateway", self.gateway, *arguments]
        return subprocess.Popen(
            command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self._folder
        )

    def told(self, *arguments: str) -> tuple[int, str]:
        """The exit code of a whole verification, and what it printed."""
        running = self.verify(*arguments)
        text, _ = running.communicate(timeout=120)
        return running.returncode, text

    def difference(self) -> list[str]:
        """The objects that are not what they were, but for what the server sets."""
        now = self.state["objects"]
        names = now.keys() | self._at_first.keys()
        return sorted(name for name in names if essence(now.get(name)) != essence(self._at_first.get(name)))

    def eventually(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.state["calls"][-5:]
            time.sleep(0.02)


def owned(api_version: str, kind: str, name: str) -> Json:
    """An object that somebody has had for long: with labels, annotations and what a server sets."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "books",
            "labels": {"team": "books"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"hosts": ["books.example"], "http": [{"route": [{"destination": {"host": "productpage"}}]}]},
    }


def essence(body: Json | None) -> Any:
    """What must be the same afterwards: the count of rollouts is the server's."""
    if body is None:
        return None
    metadata = body["metadata"]
    annotations = {key: text for key, text in metadata.get("annotations", {}).items() if "revision" not in key}
    return body["spec"], metadata.get("labels"), annotations, metadata.get("name")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    versions = count()

    class Gateway(BaseHTTPRequestHandler):
        wbufsize = -1  # headers and body in one write: the second of two would wait for an ACK

        def do_GET(self) -> None:
            if not made.is_open:
                return  # the connection is closed without an answer
            body = self._ratings() if self.path.startswith("/api") else self._page()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Set-Cookie", "session=jason")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _page(self) -> bytes:
            parts = [text if made.runs(name) else WITHOUT.format(service=name) for name, text in PARTS.items()]
            version = next(versions) % 3 + 1
            return PAGE.format(version=version, parts=" ".join([*parts, str(self.headers["cookie"])])).encode()

        def _ratings(self) -> bytes:
            return b"{}" if made.runs("ratings") else WITHOUT.format(service="ratings").encode()

        def log_message(self, *_arguments: Any) -> None:
            """Nothing: a test tells what it needs."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # of five places the eighth caller would find none, and wait a second

    server = Server(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.gateway = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    server.server_close()
