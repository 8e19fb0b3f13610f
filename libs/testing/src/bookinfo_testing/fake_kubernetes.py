"""A fake Kubernetes API server, on which the real Helm and kubectl run.

It stores, lists and watches objects, and keeps the field managers of a server-side apply. Unless the test says
otherwise, every Deployment becomes ready and every Pod succeeds at once. It does not schedule, validate or default
anything: it shows what Helm and kubectl send, not what a cluster does with it.
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
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
Key = tuple[str, str, str]
"""apiVersion, plural and name. The fake has one namespace."""

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


class ConflictError(Exception):
    """A server-side apply changes a field of another manager, without force."""


@dataclass
class FakeKubernetes:
    """The objects of the cluster, and the failures that the test injects."""

    objects: dict[Key, Object] = field(default_factory=dict)
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    """`create`, `replace` or `delete`, the kind and the name of each change."""
    applied: list[Object] = field(default_factory=list)
    """The body of each server-side apply that was accepted."""
    failing: set[str] = field(default_factory=set)
    """Names of Pods that fail, and images whose Deployments never become ready."""
    logs: dict[str, str] = field(default_factory=dict)
    """What a Pod logs, by its name."""
    forbids_changes: bool = False
    """Reject every change with 403."""
    revision: int = 0
    """Counts changes. The resourceVersion of an object is the revision of its last change."""
    closed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def objects_of(self, kind: str) -> dict[str, Object]:
        """Return the objects of a kind by name."""
        with self._lock:
            return {name: item for (_, _, name), item in self.objects.items() if item["kind"] == kind}

    def add(self, item: Object, manager: str | None = None) -> Object:
        """Store an object, like a user whose field manager is `manager`."""
        key = (item["apiVersion"], KINDS[item["apiVersion"]][item["kind"]], item["metadata"]["name"])
        return self.put(key, item, [managed(manager, item.get("spec", {}))] if manager else [])

    def apply(self, key: Key, item: Object, manager: str, *, force: bool) -> Object:
        """Store an object by server-side apply. Field ownership has the granularity of the fields of `spec`.

        Raise ConflictError if another manager owns a field that changes.
        """
        with self._lock:
            old = self.objects.get(key, {"metadata": {"managedFields": []}})
            others = [entry for entry in old["metadata"]["managedFields"] if entry["manager"] != manager]
            spec, old_spec = item.get("spec", {}), old.get("spec", {})
            changed = {f"f:{name}" for name, value in spec.items() if old_spec.get(name) != value}
            kept = []
            for entry in others:
                owned = set(entry["fieldsV1"]["f:spec"])
                if (conflicts := changed & owned) and not force:
                    name = min(conflicts).removeprefix("f:")
                    raise ConflictError(
                        f'Apply failed with 1 conflict: conflict with "{entry["manager"]}": .spec.{name}'
                    )
                kept.append({**entry, "fieldsV1": {"f:spec": {name: {} for name in sorted(owned - changed)}}})
            self.applied.append(item)
            return self.put(key, item, [*kept, managed(manager, spec)])

    def put(self, key: Key, item: Object, managers: list[Object] | None = None) -> Object:
        """Store an object with the fields that a server sets."""
        with self._lock:
            self.revision += 1
            old = self.objects.get(key)
            uid = old["metadata"]["uid"] if old else f"uid-{self.revision}"
            server_fields = {"uid": uid, "resourceVersion": str(self.revision), "managedFields": managers or []}
            stored = {**item, "metadata": {**item["metadata"], **server_fields}}
            if item["kind"] == "Pod":
                phase = "Failed" if key[2] in self.failing else "Succeeded"
                stored["status"] = {
                    "phase": phase,
                    "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
                }
            if item["kind"] == "Deployment":
                pod = item["spec"]["template"]["spec"]
                images = {container["image"] for container in pod["containers"]}
                stored["status"] = rollout_status(item, ready=self.failing.isdisjoint(images))
            if not (old and without_server_fields(old) == without_server_fields(stored)):
                self.changes.append(("replace" if old else "create", item["kind"], key[2]))
            self.objects[key] = stored
            return stored

    def delete(self, key: Key) -> Object | None:
        """Delete an object and return it, or None if it does not exist."""
        with self._lock:
            item = self.objects.pop(key, None)
            if item:
                self.revision += 1
                self.changes.append(("delete", item["kind"], key[2]))
            return item

    def matching(self, version: str, plural: str, query: dict[str, list[str]]) -> list[Object]:
        """Return the objects that the selectors of a list request match."""
        labels = dict(part.split("=", 1) for part in query.get("labelSelector", [""])[0].split(",") if "=" in part)
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", [""])[0].split(",") if "=" in part)
        expected_name = fields.get("metadata.name")
        with self._lock:
            return [
                item
                for (api_version, kinds, name), item in sorted(self.objects.items())
                if (api_version, kinds) == (version, plural)
                and expected_name in (None, name)
                and labels.items() <= item["metadata"].get("labels", {}).items()
            ]

    def watch(self, version: str, plural: str, query: dict[str, list[str]]) -> Iterator[Object]:
        """Yield the events of a watch, from the resourceVersion in the query until the server closes."""
        since = int(query.get("resourceVersion", ["0"])[0] or 0)
        listed = {item["metadata"]["name"]: item for item in self.matching(version, plural, query)}
        known = {name: item for name, item in listed.items() if int(item["metadata"]["resourceVersion"]) <= since}
        while not self.closed.wait(0.02):
            current = {item["metadata"]["name"]: item for item in self.matching(version, plural, query)}
            for name, item in current.items():
                if name not in known:
                    yield {"type": "ADDED", "object": item}
                elif known[name] is not item:
                    yield {"type": "MODIFIED", "object": item}
            for name in known.keys() - current.keys():
                yield {"type": "DELETED", "object": known[name]}
            known = current


def managed(manager: str, spec: Object) -> Object:
    """Return the managedFields entry of a manager that owns all fields of `spec`."""
    return {
        "manager": manager,
        "operation": "Apply",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {f"f:{name}": {} for name in spec}},
    }


def rollout_status(deployment: Object, *, ready: bool) -> Object:
    """Return the status of a Deployment of which all pods are ready, or none."""
    desired = deployment["spec"].get("replicas", 1)
    count = desired if ready else 0
    available = {"type": "Available", "status": "True" if ready else "False", "reason": "MinimumReplicasAvailable"}
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    return {
        "replicas": desired,
        "updatedReplicas": desired,
        "readyReplicas": count,
        "availableReplicas": count,
        "conditions": [available, progressing],
    }


def without_server_fields(item: Object) -> Object:
    """Return an object without the metadata that a server sets."""
    server_fields = ("uid", "resourceVersion", "managedFields")
    return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key not in server_fields}}


@contextmanager
def serve() -> Iterator[tuple[FakeKubernetes, str]]:
    """Run a fake API server and yield the cluster and its URL."""
    cluster = FakeKubernetes()
    server = Server(cluster)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield cluster, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        cluster.closed.set()
        server.shutdown()
        server.server_close()


def write_kubeconfig(path: Path, url: str, context: str = "test") -> Path:
    """Write a kubectl configuration whose only, current context is the fake server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": url}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def discovery(path: str) -> Object | None:
    """Return the response from which a client learns the kinds, or None for another path."""
    groups = sorted({version.partition("/")[0] for version in KINDS if "/" in version})
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/openapi/v3":
        return {"paths": {}}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": f"{group}/v1", "version": "v1"} for group in groups]
        listed = [
            {"name": group, "versions": [version], "preferredVersion": version}
            for group, version in zip(groups, versions, strict=True)
        ]
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
    """The HTTP side of the fake cluster."""

    disable_nagle_algorithm = True  # Headers and body are two writes. With Nagle the second waits 40 ms for an ACK.
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/openapi/v2":
            self._respond(200, None)  # An empty protobuf message. Without schemas Helm validates nothing.
            return
        if logs := LOGS.fullmatch(path):
            self._respond_logs(logs["name"])
            return
        if found := discovery(path):
            self._respond(200, found)
            return
        key, query = self._target()
        if key and key[2]:
            self._respond_object(self._cluster.objects.get(key))
        elif key and "watch" in query:
            self._watch(key, query)
        elif key:
            (kind,) = [kind for kind, plural in KINDS[key[0]].items() if plural == key[1]]
            listed = {
                "kind": f"{kind}List",
                "apiVersion": key[0],
                "metadata": {"resourceVersion": str(self._cluster.revision)},
            }
            self._respond(200, {**listed, "items": self._cluster.matching(key[0], key[1], query)})
        else:
            self._respond_object(None)

    def do_POST(self) -> None:
        key, _ = self._target()
        item = self._body()
        if self._forbidden():
            return
        if not key:
            self._respond_object(None)
            return
        named = (key[0], key[1], item["metadata"]["name"])
        if named in self._cluster.objects:
            self._respond(409, failure("AlreadyExists", 409))
        else:
            self._respond(201, self._cluster.put(named, item))

    def do_PUT(self) -> None:
        key, _ = self._target()
        item = self._body()
        if self._forbidden():
            return
        self._respond_object(self._cluster.put(key, item) if key else None)

    def do_PATCH(self) -> None:
        key, query = self._target()
        item = self._body()
        if self._forbidden():
            return
        if not key or self.headers["Content-Type"] != "application/apply-patch+yaml":
            self._respond_object(None)
            return
        (manager,) = query["fieldManager"]
        try:
            stored = self._cluster.apply(key, item, manager, force=query.get("force") == ["true"])
        except ConflictError as error:
            self._respond(409, failure("Conflict", 409, str(error)))
            return
        self._respond_object(stored)

    def do_DELETE(self) -> None:
        key, _ = self._target()
        self._read()
        if self._forbidden():
            return
        self._respond_object(self._cluster.delete(key) if key else None)

    @property
    def _cluster(self) -> FakeKubernetes:
        assert isinstance(self.server, Server)
        return self.server.cluster

    def _forbidden(self) -> bool:
        if self._cluster.forbids_changes:
            self._respond(403, failure("Forbidden", 403, "you may not change this resource"))
        return self._cluster.forbids_changes

    def _target(self) -> tuple[Key | None, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        match = PATH.fullmatch(parts.path)
        key = (match["version"], match["plural"], match["name"] or "") if match else None
        return key, parse_qs(parts.query)

    def _body(self) -> Object:
        text = self._read()
        if text.startswith(PROTOBUF):
            return parse_secret(text)
        loaded: Object = yaml.load(text, Loader=yaml.CSafeLoader) or {}
        return loaded

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _watch(self, key: Key, query: dict[str, list[str]]) -> None:
        if "sendInitialEvents" in query:
            self._respond(422, failure("Invalid", 422))  # The client then lists, and watches from there.
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for event in self._cluster.watch(key[0], key[1], query):
                self.wfile.write(json.dumps(event).encode() + b"\n")
        except OSError:
            return  # The client closed the connection.

    def _respond_logs(self, name: str) -> None:
        if ("v1", "pods", name) not in self._cluster.objects:
            self._respond_object(None)
            return
        text = self._cluster.logs.get(name, f"{name} ended\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _respond_object(self, item: Object | None) -> None:
        self._respond(200 if item else 404, item or failure("NotFound", 404))

    def _respond(self, code: int, body: Object | None) -> None:
        data = json.dumps(body).encode() if body else b""
        self.send_response(code)
        self.send_header("Content-Type", "application/json" if body else "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        """Do not log requests."""


class Server(ThreadingHTTPServer):
    """An HTTP server of one fake cluster."""

    daemon_threads = True

    def __init__(self, cluster: FakeKubernetes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cluster = cluster


# Helm stores its releases in Secrets, which its client sends as protobuf. Field numbers: Kubernetes'
# staging/src/k8s.io/{apimachinery/pkg/runtime,apimachinery/pkg/apis/meta/v1,api/core/v1}/generated.proto.
PROTOBUF = b"k8s\x00"


def parse_secret(message: bytes) -> Object:
    """Return the Secret in a protobuf message."""
    (raw,) = parse_fields(message[len(PROTOBUF) :])[2]
    secret = parse_fields(raw)
    metadata = parse_fields(secret[1][0])
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata[1][0].decode(),
            "namespace": metadata[3][0].decode(),
            "labels": {key.decode(): value.decode() for key, value in parse_map(metadata[11])},
        },
        "data": {key.decode(): base64.b64encode(value).decode() for key, value in parse_map(secret[2])},
        "type": secret[3][0].decode(),
    }


def parse_map(messages: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a protobuf map."""
    for message in messages:
        fields = parse_fields(message)
        yield fields[1][0], fields[2][0]


def parse_fields(message: bytes) -> dict[int, list[bytes]]:
    """Return the length-delimited fields of a protobuf message by number, and skip the numeric ones."""
    fields: dict[int, list[bytes]] = defaultdict(list)
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        number, wire_type = divmod(varint(), 8)
        size = varint()
        if wire_type == 2:
            fields[number].append(message[position : position + size])
            position += size
    return fields


def failure(reason: str, code: int, message: str = "") -> Object:
    """Return a Kubernetes Status of a failed request."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message or reason,
    }
