"""`bookinfo verify --context` with a fake kubectl on PATH, and a fake gateway that follows the objects in its file."""

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
from bookinfo_testing.polling import eventually

PAGE = "<title>Simple Bookstore App</title> reviews-v{version}-5d4f8c7b9-abcde {parts}"
PARTS = {"details": "PublisherA", "reviews": "Book Reviews"}
UNAVAILABLE = "Sorry, product {service} are currently unavailable for this book."
WORKLOADS = ("productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")

Json = dict[str, Any]


class Cluster(FakeKubectl):
    """A fake cluster, the fake gateway in front of it, and the command that verifies it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "cluster.json")
        self._directory = directory
        self.propagation_seconds = 0.0
        """Time until the gateway applies a change."""
        self.gateway = ""
        labels = {"app": "productpage", "version": "v1"}
        objects = {
            **{f"deployment/{name}": existing("apps/v1", "Deployment", name) for name in WORKLOADS},
            "gateway/bookinfo-gateway": existing("networking.istio.io/v1", "Gateway", "bookinfo-gateway"),
            "virtualservice/bookinfo": existing("networking.istio.io/v1", "VirtualService", "bookinfo"),
        }
        objects["deployment/productpage-v1"]["spec"]["selector"] = {"matchLabels": labels}
        pod = {
            "metadata": {"name": "productpage-v1-1", "labels": labels},
            "spec": {"containers": [{"name": "productpage"}, {"name": "istio-proxy"}]},
        }
        self.update(objects=objects, pods=[pod], version=100)
        self._original = copy.deepcopy(self.state["objects"])
        self.install(directory / "bin")
        self._environ = os.environ | {
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(directory / "state"),
        }

    def has_pods(self, service: str) -> bool:
        """Whether any Deployment of the service has pods."""
        deployments = {
            name: item for name, item in self.state["objects"].items() if name.startswith(f"deployment/{service}-")
        }
        return any(item["spec"].get("replicas", 1) for item in deployments.values())

    def remove_sidecars(self) -> None:
        """Leave a cluster without a mesh."""
        pods = self.state["pods"]
        pods[0]["spec"]["containers"].pop()
        self.update(pods=pods)

    @property
    def has_route(self) -> bool:
        """Whether the gateway has a route, given its propagation time."""
        latest = time.time() - self.propagation_seconds
        exists = "virtualservice/bookinfo" in self._original
        for when, verb, name in self.state["changes"]:
            if name == "virtualservice/bookinfo" and when <= latest:
                exists = verb != "delete"
        return exists

    def start_verify(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verification."""
        command = [sys.executable, "-m", "bookinfo_lab", "verify"]
        command += ["--context", "test", "--namespace", "books", "--gateway", self.gateway, *arguments]
        return subprocess.Popen(
            command, env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self._directory
        )

    def verify(self, *arguments: str) -> tuple[int, str]:
        """Run a verification and return its exit code and its output, with all white space as single spaces."""
        process = self.start_verify(*arguments)
        output, _ = process.communicate(timeout=120)
        return process.returncode, " ".join(output.split())

    def changed_objects(self) -> list[str]:
        """Return the objects that differ from their original."""
        current = self.state["objects"]
        names = current.keys() | self._original.keys()
        return sorted(name for name in names if comparable(current.get(name)) != comparable(self._original.get(name)))

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition. A failure shows the last calls of kubectl."""
        eventually(condition, within=60, interval=0.02, details=lambda: self.state["calls"][-5:])


def existing(api_version: str, kind: str, name: str) -> Json:
    """Return an object with labels, annotations and the fields that a server sets."""
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


def comparable(body: Json | None) -> Any:
    """Return the fields of an object that must be restored. The server counts rollouts in an annotation."""
    if body is None:
        return None
    metadata = body["metadata"]
    annotations = {key: text for key, text in metadata.get("annotations", {}).items() if "revision" not in key}
    return body["spec"], metadata.get("labels"), annotations, metadata.get("name")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    fake = Cluster(tmp_path)
    versions = count()

    class Gateway(BaseHTTPRequestHandler):
        wbufsize = -1  # Headers and body in one write. Of two writes the second would wait for an ACK.

        def do_GET(self) -> None:
            if not fake.has_route:
                return  # close the connection without a response
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
            parts = [text if fake.has_pods(name) else UNAVAILABLE.format(service=name) for name, text in PARTS.items()]
            version = next(versions) % 3 + 1
            return PAGE.format(version=version, parts=" ".join([*parts, str(self.headers["cookie"])])).encode()

        def _ratings(self) -> bytes:
            return b"{}" if fake.has_pods("ratings") else UNAVAILABLE.format(service="ratings").encode()

        def log_message(self, *_arguments: Any) -> None:
            """Do not log requests."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # With the default of 5 the eighth concurrent client would wait a second.

    server = Server(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.gateway = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    server.server_close()
