"""A stand-in for the Kubernetes API, so that a real Helm can install, upgrade, roll back, test and uninstall.

It stores what it is given, tells what it stores, starts every Deployment and ends every Pod at once, with success
unless the test says otherwise. It schedules, validates and defaults nothing: what it proves is what Helm does with this
chart, not what a cluster does with the result.
"""

import base64
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
Key = tuple[str, str, str]
"""apiVersion, plural, name: one namespace is enough here."""

KINDS = {
    "v1": {"Service": "services", "ServiceAccount": "serviceaccounts", "Secret": "secrets", "Pod": "pods"},
    "apps/v1": {"Deployment": "deployments", "ReplicaSet": "replicasets"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "networking.istio.io/v1": {
        "Gateway": "gateways",
        "VirtualService": "virtualservices",
        "DestinationRule": "destinationrules",
    },
    "security.istio.io/v1": {
        "PeerAuthentication": "peerauthentications",
        "AuthorizationPolicy": "authorizationpolicies",
    },
}
LOGS = re.compile(r"/api/v1/namespaces/[^/]+/pods/(?P<name>[^/]+)/log")
PATH = re.compile(
    r"/(?:api|apis)/(?P<version>v1|[a-z0-9.]+/v1)/namespaces/(?P<namespace>[^/]+)/(?P<plural>\w+)(?:/(?P<name>[^/]+))?"
)


@dataclass
class Cluster:
    """What is stored, and what was done to it: `create`, `replace` or `delete`, with kind and name."""

    objects: dict[Key, Object] = field(default_factory=dict)
    done: list[tuple[str, str, str]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    """Names of Pods that end in failure, and images whose Deployments never get ready."""
    revision: int = 0
    """Counts changes; each object carries that of its last one as its resourceVersion."""
    closed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def stored(self, kind: str) -> dict[str, Object]:
        """The objects of a kind by name."""
        with self._lock:
            return {name: item for (_, _, name), item in self.objects.items() if item["kind"] == kind}

    def put(self, key: Key, item: Object) -> Object:
        """Store an object; the one manager's apply replaces all that it said before."""
        with self._lock:
            self.revision += 1
            old = self.objects.get(key)
            uid = old["metadata"]["uid"] if old else f"uid-{self.revision}"
            metadata = {**item["metadata"], "uid": uid, "resourceVersion": str(self.revision), "managedFields": []}
            stored = {**item, "metadata": metadata}
            if item["kind"] == "Pod":
                phase = "Failed" if key[2] in self.failing else "Succeeded"
                stored["status"] = {
                    "phase": phase,
                    "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
                }
            if item["kind"] == "Deployment":
                pod = item["spec"]["template"]["spec"]
                images = {container["image"] for container in pod["containers"]}
                stored["status"] = rollout(item, ready=self.failing.isdisjoint(images))
            if not (old and same(old, stored)):
                self.done.append(("replace" if old else "create", item["kind"], key[2]))
            self.objects[key] = stored
            return stored

    def delete(self, key: Key) -> Object | None:
        """Forget an object."""
        with self._lock:
            item = self.objects.pop(key, None)
            if item:
                self.revision += 1
                self.done.append(("delete", item["kind"], key[2]))
            return item

    def matching(self, version: str, plural: str, query: dict[str, list[str]]) -> list[Object]:
        """The objects that a list request means."""
        labels = dict(part.split("=", 1) for part in query.get("labelSelector", [""])[0].split(",") if "=" in part)
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", [""])[0].split(",") if "=" in part)
        wanted = fields.get("metadata.name")
        with self._lock:
            return [
                item
                for (api_version, kinds, name), item in sorted(self.objects.items())
                if (api_version, kinds) == (version, plural)
                and wanted in (None, name)
                and labels.items() <= item["metadata"].get("labels", {}).items()
            ]

    def changes(self, version: str, plural: str, query: dict[str, list[str]]) -> Iterator[Object]:
        """The events of a watch, from the revision it names until the cluster closes."""
        since = int(query.get("resourceVersion", ["0"])[0] or 0)
        listed = {item["metadata"]["name"]: item for item in self.matching(version, plural, query)}
        known = {name: item for name, item in listed.items() if int(item["metadata"]["resourceVersion"]) <= since}
        while not self.closed.wait(0.02):
            now = {item["metadata"]["name"]: item for item in self.matching(version, plural, query)}
            for name, item in now.items():
                if name not in known:
                    yield {"type": "ADDED", "object": item}
                elif known[name] is not item:
                    yield {"type": "MODIFIED", "object": item}
            for name in known.keys() - now.keys():
                yield {"type": "DELETED", "object": known[name]}
            known = now


def rollout(deployment: Object, *, ready: bool) -> Object:
    """The status of a Deployment whose pods are all there, or none of which comes up."""
    wanted = deployment["spec"].get("replicas", 1)
    count = wanted if ready else 0
    available = {"type": "Available", "status": "True" if ready else "False", "reason": "MinimumReplicasAvailable"}
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    return {
        "replicas": wanted,
        "updatedReplicas": wanted,
        "readyReplicas": count,
        "availableReplicas": count,
        "conditions": [available, progressing],
    }


def same(one: Object, other: Object) -> bool:
    """Whether two objects differ in nothing but what a server writes."""
    ignored = ("uid", "resourceVersion", "managedFields")

    def plain(item: Object) -> Object:
        return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key not in ignored}}

    return plain(one) == plain(other)


@contextmanager
def serving() -> Iterator[tuple[Cluster, str]]:
    """A cluster and its address, while the context lasts."""
    cluster = Cluster()
    server = Server(cluster)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        cluster.closed.set()
        server.shutdown()
        server.server_close()


def discovery(path: str) -> Object | None:
    """What a client asks to learn the kinds."""
    groups = sorted({version.partition("/")[0] for version in KINDS if "/" in version})
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/openapi/v3":
        return {"paths": {}}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        one = [{"groupVersion": f"{group}/v1", "version": "v1"} for group in groups]
        listed = [{"name": group, "versions": [v], "preferredVersion": v} for group, v in zip(groups, one, strict=True)]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version in KINDS:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        resources = [
            {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}
            for kind, plural in KINDS[version].items()
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    return None


class Handler(BaseHTTPRequestHandler):
    """The HTTP side of a self._cluster."""

    disable_nagle_algorithm = True  # headers and body are two writes: together they would wait 40 ms for an ACK
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/openapi/v2":
            self._answer(200, None)  # an empty protobuf message: without schemas Helm validates nothing
            return
        logs = LOGS.fullmatch(urlsplit(self.path).path)
        if logs:
            self._answer_logs(logs["name"])
            return
        found = discovery(urlsplit(self.path).path)
        if found:
            self._answer(200, found)
            return
        key, query = self._asked()
        if key and key[2]:
            self._answer_object(self._cluster.objects.get(key))
        elif key and "watch" in query:
            self._watch(key, query)
        elif key:
            (kind,) = [kind for kind, plural in KINDS[key[0]].items() if plural == key[1]]
            listed = {
                "kind": f"{kind}List",
                "apiVersion": key[0],
                "metadata": {"resourceVersion": str(self._cluster.revision)},
            }
            self._answer(200, {**listed, "items": self._cluster.matching(key[0], key[1], query)})
        else:
            self._answer_object(None)

    def do_POST(self) -> None:
        key, _ = self._asked()
        item = self._body()
        if not key:
            self._answer_object(None)
            return
        named = (key[0], key[1], item["metadata"]["name"])
        if named in self._cluster.objects:
            self._answer(409, status("AlreadyExists", 409))
        else:
            self._answer(201, self._cluster.put(named, item))

    def do_PUT(self) -> None:
        key, _ = self._asked()
        item = self._body()
        self._answer_object(self._cluster.put(key, item) if key else None)

    def do_PATCH(self) -> None:
        key, _ = self._asked()
        item = self._body()
        applied = self.headers["Content-Type"] == "application/apply-patch+yaml"
        self._answer_object(self._cluster.put(key, item) if key and applied else None)

    def do_DELETE(self) -> None:
        key, _ = self._asked()
        self._read()
        self._answer_object(self._cluster.delete(key) if key else None)

    @property
    def _cluster(self) -> Cluster:
        assert isinstance(self.server, Server)
        return self.server.cluster

    def _asked(self) -> tuple[Key | None, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        match = PATH.fullmatch(parts.path)
        key = (match["version"], match["plural"], match["name"] or "") if match else None
        return key, parse_qs(parts.query)

    def _body(self) -> Object:
        text = self._read()
        if text.startswith(PROTOBUF):
            return secret_of(text)
        loaded: Object = yaml.load(text, Loader=yaml.CSafeLoader) or {}
        return loaded

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _watch(self, key: Key, query: dict[str, list[str]]) -> None:
        if "sendInitialEvents" in query:
            self._answer(422, status("Invalid", 422))  # the client then lists, and watches from there
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for event in self._cluster.changes(key[0], key[1], query):
                self.wfile.write(json.dumps(event).encode() + b"\n")
        except OSError:
            return  # the watcher has seen enough

    def _answer_logs(self, name: str) -> None:
        if ("v1", "pods", name) not in self._cluster.objects:
            self._answer_object(None)
            return
        text = f"{name} ended\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer_object(self, item: Object | None) -> None:
        self._answer(200 if item else 404, item or status("NotFound", 404))

    def _answer(self, code: int, body: Object | None) -> None:
        data = json.dumps(body).encode() if body else b""
        self.send_response(code)
        self.send_header("Content-Type", "application/json" if body else "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing: a test tells what it needs."""


class Server(ThreadingHTTPServer):
    """Serves one cluster."""

    daemon_threads = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cluster = cluster


# Helm keeps its releases in Secrets, which its client sends as protobuf. Field numbers: Kubernetes'
# staging/src/k8s.io/{apimachinery/pkg/runtime,apimachinery/pkg/apis/meta/v1,api/core/v1}/generated.proto.
PROTOBUF = b"k8s\x00"


def secret_of(message: bytes) -> Object:
    """The Secret in a protobuf message."""
    (raw,) = wire(message[len(PROTOBUF) :])[2]
    secret = wire(raw)
    metadata = wire(secret[1][0])
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata[1][0].decode(),
            "namespace": metadata[3][0].decode(),
            "labels": {key.decode(): value.decode() for key, value in entries(metadata[11])},
        },
        "data": {key.decode(): base64.b64encode(value).decode() for key, value in entries(secret[2])},
        "type": secret[3][0].decode(),
    }


def entries(messages: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """A protobuf map."""
    for message in messages:
        fields = wire(message)
        yield fields[1][0], fields[2][0]


def wire(message: bytes) -> dict[int, list[bytes]]:
    """The length-delimited fields of a protobuf message, by number; numbers are skipped."""
    fields: dict[int, list[bytes]] = defaultdict(list)
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        size = varint()
        if kind == 2:
            fields[number].append(message[at : at + size])
            at += size
    return fields


def status(reason: str, code: int) -> Object:
    """Kubernetes' form of a refusal."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": reason,
    }
