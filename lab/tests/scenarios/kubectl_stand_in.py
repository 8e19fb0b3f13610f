"""A kubectl that keeps its cluster in a file: `python kubectl_stand_in.py STORE --context=... get ...`.

It behaves as the real one does in what matters here: it records what it is asked, adds what a server sets, refuses to
create what exists, to replace what does not, and a body of another namespace than it was told, counts rollouts, and
has no connection when the file says so: before it does what it is asked, or after.
"""

# ruff: noqa: T201 - a program prints

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LOST = "Unable to connect to the server: dial tcp 192.0.2.7:6443: connect: connection refused"


class Cluster:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state: Json = json.loads(path.read_text())

    @property
    def objects(self) -> dict[str, Json]:
        found: dict[str, Json] = self.state["objects"]
        return found

    def save(self) -> None:
        partial = self._path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(self.state))
        partial.replace(self._path)

    def loses(self, verb: str, when: str) -> bool:
        """Whether the connection is lost `before` or `after` this call."""
        loss = self.state.get("loss", {})
        if (loss.get("when"), loss.get("times", 0) > 0) != (when, True) or loss["verb"] not in ("any", verb):
            return False
        loss["times"] -= 1
        self.save()
        return True


def identity(body: Json) -> str:
    return f"{body['kind'].lower()}/{body['metadata']['name']}"


def stored(cluster: Cluster, body: Json, old: Json | None) -> Json:
    """The object as a server keeps it."""
    cluster.state["version"] += 1
    version = cluster.state["version"]
    known = old["metadata"] if old else {"uid": f"uid-{version}", "creationTimestamp": "2026-11-22T12:00:00Z"}
    changed = old is None or old["spec"] != body.get("spec")
    metadata = {
        **body["metadata"],
        "uid": known["uid"],
        "creationTimestamp": known["creationTimestamp"],
        "resourceVersion": str(version),
        "generation": known.get("generation", 0) + changed,
        "managedFields": [{"manager": "kubectl", "time": f"T{version}"}],
    }
    if body["kind"] == "Deployment":
        revision = {"deployment.kubernetes.io/revision": str(version)}
        metadata["annotations"] = metadata.get("annotations", {}) | revision
    return {**body, "metadata": metadata, "status": {"observedGeneration": metadata["generation"]}}


def main(path: Path, arguments: list[str]) -> int:
    cluster = Cluster(path)
    words = [word for word in arguments if not word.startswith(("--context", "--namespace"))]
    namespaces = [word.partition("=")[2] for word in arguments if word.startswith("--namespace")]
    cluster.state["calls"].append(words)
    cluster.save()
    verb, *rest = words
    if cluster.loses(verb, "before"):
        print(LOST, file=sys.stderr)
        return 1
    code = with_body(cluster, verb, rest, namespaces[-1]) if "-f" in rest else answer(cluster, verb, rest)
    if cluster.loses(verb, "after"):
        print(LOST, file=sys.stderr)
        return 1
    return code


def answer(cluster: Cluster, verb: str, rest: list[str]) -> int:
    match verb, rest:
        case "get", ["pods", selector, *_]:
            wanted = dict(pair.split("=") for pair in selector.removeprefix("--selector=").split(","))
            pods = [pod for pod in cluster.state["pods"] if wanted.items() <= pod["metadata"]["labels"].items()]
            print(json.dumps({"items": pods}))
        case "get", [name, "-o", "json", *_] if name in cluster.objects:
            print(json.dumps(cluster.objects[name]))
        case "get", [_, *_, "--ignore-not-found"]:
            pass
        case "get", [name, "-o", _]:
            print(cluster.objects[name]["spec"]["template"]["spec"]["containers"][0]["image"], end="")
        case "rollout", _:
            pass
        case "logs", _:
            print(cluster.state["log"])
        case "exec", [*_, "pilot-agent", "request", "GET", "stats"]:
            print(cluster.state["stats"])
        case "exec", [*_, "python", "-m", module]:
            return subprocess.run([sys.executable, "-m", module], check=False).returncode
        case "exec", [*_, "python", "-c", _]:
            print(cluster.state["metrics"])
        case _:
            print(f"error: what is {[verb, *rest]}?", file=sys.stderr)
            return 1
    return 0


def with_body(cluster: Cluster, verb: str, rest: list[str], namespace: str) -> int:
    body = json.load(sys.stdin)
    given = body["metadata"].get("namespace", namespace)
    if given != namespace:
        print(
            f"error: the namespace from the provided object {given!r} does not match the namespace {namespace!r}. "
            f"You must pass '--namespace={given}' to perform this operation.",
            file=sys.stderr,
        )
        return 1
    name = identity(body)
    old = cluster.objects.get(name)
    match verb:
        case "get":
            print(json.dumps({"kind": "List", "items": [old]}) if old else "")
        case "create" if not old:
            cluster.objects[name] = stored(cluster, body, None)
        case "replace" if old:
            cluster.objects[name] = stored(cluster, body, old)
        case "delete" if old or "--ignore-not-found" in rest:
            cluster.objects.pop(name, None)
        case _:
            print(f'Error from server: "{name}" cannot be {verb}d', file=sys.stderr)
            return 1
    if cluster.state.get("forgetful") == name and verb == "replace":
        cluster.objects[name]["metadata"]["labels"] = {}
    if verb != "get":
        cluster.state["changes"].append([time.time(), verb, name])
    cluster.save()
    return 0


if __name__ == "__main__":
    file = Path(sys.argv[1])
    with file.with_suffix(".lock").open("w") as one_after_the_other:
        fcntl.flock(one_after_the_other, fcntl.LOCK_EX)
        sys.exit(main(file, sys.argv[2:]))
