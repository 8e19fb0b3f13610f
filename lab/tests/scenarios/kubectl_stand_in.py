"""A kubectl that keeps its cluster in a file: `python kubectl_stand_in.py STORE --context=... get ...`.

It behaves as the real one does in what matters here: it adds what the server sets, refuses to create what exists and
to replace what does not, and counts rollouts in an annotation.
"""

# ruff: noqa: T201 - a program prints

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Cluster:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state: Json = json.loads(path.read_text())

    @property
    def objects(self) -> dict[str, Json]:
        found: dict[str, Json] = self.state["objects"]
        return found

    def save(self, call: list[str]) -> None:
        self.state["calls"].append(call)
        self._path.write_text(json.dumps(self.state))


def identity(body: Json) -> str:
    return f"{body['kind'].lower()}/{body['metadata']['name']}"


def stored(cluster: Cluster, body: Json) -> Json:
    cluster.state["version"] += 1
    metadata = dict(body["metadata"], uid="1234", resourceVersion=str(cluster.state["version"]), managedFields=[])
    if body["kind"] == "Deployment":
        count = str(cluster.state["version"])
        metadata["annotations"] = metadata.get("annotations", {}) | {"deployment.kubernetes.io/revision": count}
    return {**body, "metadata": metadata, "status": {"seen": True}}


def main(path: Path, arguments: list[str]) -> int:
    cluster = Cluster(path)
    words = [word for word in arguments if not word.startswith(("--context", "--namespace"))]
    cluster.save(words)
    verb, *rest = words
    if "-f" in rest:
        return with_body(cluster, verb, json.load(sys.stdin), rest)
    match verb, rest:
        case "get", ["pods", selector, *_]:
            wanted = dict(pair.split("=") for pair in selector.removeprefix("--selector=").split(","))
            names = [name for name, labels in cluster.state["pods"].items() if wanted.items() <= labels.items()]
            print(json.dumps({"items": [{"metadata": {"name": name}} for name in names]}))
        case "get", [name, "-o", "json"] | [name, _, _, "-o", "json"]:
            print(json.dumps(cluster.objects[name]))
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
            print(f"error: what is {words}?", file=sys.stderr)
            return 1
    return 0


def with_body(cluster: Cluster, verb: str, body: Json, rest: list[str]) -> int:
    name = identity(body)
    there = name in cluster.objects
    match verb:
        case "get":
            print(json.dumps(cluster.objects[name]) if there else "")
        case "create" if not there:
            cluster.objects[name] = stored(cluster, body)
        case "replace" if there:
            cluster.objects[name] = stored(cluster, body)
        case "delete" if there or "--ignore-not-found" in rest:
            cluster.objects.pop(name, None)
        case _:
            print(f'Error from server: "{name}" cannot be {verb}d', file=sys.stderr)
            return 1
    if cluster.state.get("forgetful") == name and verb == "replace":
        cluster.objects[name]["metadata"]["labels"] = {}
    cluster.save([])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
