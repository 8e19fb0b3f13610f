"""A fake kubectl that keeps its cluster in a file: `python fake_kubectl.py FILE --context=... get ...`.

It behaves like the real one where `bookinfo verify --context` depends on it. It records its calls, sets the fields that
a server sets, counts rollouts, and rejects creating an existing object, replacing a missing one, and a body of another
namespace. The file can contain failures: a connection that is lost before or after a call, and an object that loses its
labels when it is replaced. It also serves `exec` and `logs`, for which the fake API server has no protocol.
"""

# ruff: noqa: T201 - a program prints

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LOST = "Unable to connect to the server: dial tcp 192.0.2.7:6443: connect: connection refused"


class FakeKubectl:
    """The file of a fake cluster, and the command that uses it.

    Its fields: `objects` by `kind/name`, `pods`, `calls` (arguments of each call), `changes` (time, verb, name), the
    outputs `stats`, `metrics` and `log`, and the failures `loss` (`verb` or `any`, `when`: before or after, `times`)
    and `drops_labels_of` (the `kind/name` of an object).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            self.update(objects={}, pods=[], calls=[], changes=[], version=1, stats="", metrics="", log="")

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs this kubectl."""
        return (sys.executable, __file__, str(self._path))

    def install(self, directory: Path) -> None:
        """Write the program `kubectl` into a directory, to be put on PATH."""
        directory.mkdir(parents=True, exist_ok=True)
        program = directory / "kubectl"
        program.write_text('#!/bin/sh\nexec {} {} {} "$@"\n'.format(*(f"'{part}'" for part in self.command)))
        program.chmod(0o755)

    @property
    def state(self) -> Json:
        """The current content of the file."""
        state: Json = json.loads(self._path.read_text()) if self._path.exists() else {}
        return state

    def update(self, **fields: Any) -> None:
        """Replace fields of the file, between two calls."""
        with self.locked():
            self.write(self.state | fields)

    def write(self, state: Json) -> None:
        """Replace the file atomically."""
        partial = self._path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(state))
        partial.replace(self._path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other calls for the duration of the block."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Call:
    """One call of the program."""

    def __init__(self, kubectl: FakeKubectl) -> None:
        self._kubectl = kubectl
        self.state = kubectl.state

    @property
    def objects(self) -> dict[str, Json]:
        objects: dict[str, Json] = self.state["objects"]
        return objects

    def save(self) -> None:
        self._kubectl.write(self.state)

    def loses_connection(self, verb: str, when: str) -> bool:
        """Whether the connection is lost `before` or `after` this call."""
        loss = self.state.get("loss", {})
        if (loss.get("when"), loss.get("times", 0) > 0) != (when, True) or loss["verb"] not in ("any", verb):
            return False
        loss["times"] -= 1
        self.save()
        return True

    def run(self, arguments: list[str]) -> int:
        """Run a command and return its exit code."""
        words = [word for word in arguments if not word.startswith(("--context", "--namespace"))]
        namespaces = [word.partition("=")[2] for word in arguments if word.startswith("--namespace")]
        self.state["calls"].append(words)
        self.save()
        verb, *rest = words
        if self.loses_connection(verb, "before"):
            print(LOST, file=sys.stderr)
            return 1
        code = self._run_with_body(verb, rest, namespaces[-1]) if "-f" in rest else self._run(verb, rest)
        if self.loses_connection(verb, "after"):
            print(LOST, file=sys.stderr)
            return 1
        return code

    def _run(self, verb: str, rest: list[str]) -> int:
        match verb, rest:
            case "get", ["pods", selector, *_]:
                labels = dict(pair.split("=") for pair in selector.removeprefix("--selector=").split(","))
                pods = [pod for pod in self.state["pods"] if labels.items() <= pod["metadata"]["labels"].items()]
                print(json.dumps({"items": pods}))
            case "get", [name, "-o", "json", *_] if name in self.objects:
                print(json.dumps(self.objects[name]))
            case "get", [_, *_, "--ignore-not-found"]:
                pass
            case "get", [name, "-o", _]:
                print(self.objects[name]["spec"]["template"]["spec"]["containers"][0]["image"], end="")
            case "rollout", _:
                pass
            case "logs", _:
                print(self.state["log"])
            case "exec", [*_, "pilot-agent", "request", "GET", "stats"]:
                print(self.state["stats"])
            case "exec", [*_, "python", "-m", module]:
                return subprocess.run([sys.executable, "-m", module], check=False).returncode
            case "exec", [*_, "python", "-c", _]:
                print(self.state["metrics"])
            case _:
                print(f"error: unsupported by the fake kubectl: {[verb, *rest]}", file=sys.stderr)
                return 1
        return 0

    def _run_with_body(self, verb: str, rest: list[str], namespace: str) -> int:
        body = json.load(sys.stdin)
        given = body["metadata"].get("namespace", namespace)
        if given != namespace:
            print(
                f"error: the namespace from the provided object {given!r} does not match the namespace {namespace!r}. "
                f"You must pass '--namespace={given}' to perform this operation.",
                file=sys.stderr,
            )
            return 1
        name = f"{body['kind'].lower()}/{body['metadata']['name']}"
        old = self.objects.get(name)
        match verb:
            case "get":
                print(json.dumps({"kind": "List", "items": [old]}) if old else "")
            case "create" if not old:
                self.objects[name] = self._stored(body, None)
            case "replace" if old:
                self.objects[name] = self._stored(body, old)
            case "delete" if old or "--ignore-not-found" in rest:
                self.objects.pop(name, None)
            case _:
                print(f'Error from server: "{name}" cannot be {verb}d', file=sys.stderr)
                return 1
        if self.state.get("drops_labels_of") == name and verb == "replace":
            self.objects[name]["metadata"]["labels"] = {}
        if verb != "get":
            self.state["changes"].append([time.time(), verb, name])
        self.save()
        return 0

    def _stored(self, body: Json, old: Json | None) -> Json:
        """Return an object with the fields that a server sets."""
        self.state["version"] += 1
        version = self.state["version"]
        known: Json = old["metadata"] if old else {"uid": f"uid-{version}", "creationTimestamp": "2026-11-22T12:00:00Z"}
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
    """Run one call, after any other that is running."""
    kubectl = FakeKubectl(path)
    with kubectl.locked():
        return Call(kubectl).run(arguments)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
