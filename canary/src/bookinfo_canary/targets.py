"""Where the route is: a cluster, by way of kubectl, or the local lab, by way of `bookinfo apply`."""

import json
import subprocess
from collections.abc import Sequence
from typing import Protocol

from bookinfo_canary.errors import CanaryError
from bookinfo_canary.routes import MANAGER, Json, RouteKind

_WITHIN = 100.0


class Target(Protocol):
    """Objects of one namespace."""

    def find(self, resource: str, name: str) -> Json | None:
        """An object as it is now; None if there is none."""
        ...

    def all(self, resource: str) -> list[Json]:
        """All objects of a kind."""
        ...

    def apply(self, body: Json, *, take_over: bool = False) -> None:
        """Make the object so. With `take_over` also what somebody else manages."""
        ...

    def managers(self, body: Json, kind: RouteKind) -> list[str]:
        """Who else manages the weights of this object."""
        ...


class Kubectl:
    """One namespace of a cluster. Server-side apply, so that the cluster itself knows who owns which field."""

    def __init__(self, namespace: str, context: str | None = None, program: Sequence[str] = ("kubectl",)) -> None:
        self._command = [*program, f"--namespace={namespace}", "--request-timeout=20s"]
        if context:
            self._command.append(f"--context={context}")

    def find(self, resource: str, name: str) -> Json | None:
        """See `Target`."""
        text = self._run("get", resource, name, "--output=json", "--ignore-not-found", "--show-managed-fields")
        return dict(json.loads(text)) if text.strip() else None

    def all(self, resource: str) -> list[Json]:
        """See `Target`."""
        return list(json.loads(self._run("get", resource, "--output=json"))["items"])

    def apply(self, body: Json, *, take_over: bool = False) -> None:
        """See `Target`."""
        force = ["--force-conflicts"] if take_over else []
        arguments = ["apply", "--server-side", f"--field-manager={MANAGER}", *force, "--filename=-"]
        self._run(*arguments, stdin=json.dumps(body))

    def managers(self, body: Json, kind: RouteKind) -> list[str]:
        """See `Target`. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management."""
        entries = body["metadata"].get("managedFields", [])
        return sorted(
            {
                entry["manager"]
                for entry in entries
                if entry["manager"] != MANAGER and f"f:{kind.rules}" in entry.get("fieldsV1", {}).get("f:spec", {})
            }
        )

    def _run(self, *arguments: str, stdin: str = "") -> str:
        return _run([*self._command, *arguments], arguments[0], stdin)


class Lab:
    """The local lab. Nobody there knows who wrote a field, so the label of the object says it."""

    def __init__(self, lab: str | None = None, program: Sequence[str] = ("bookinfo",)) -> None:
        self._program = list(program)
        self._where = [f"--lab={lab}"] if lab else []

    def find(self, resource: str, name: str) -> Json | None:
        """See `Target`."""
        found = [item for item in self.all(resource) if item["metadata"]["name"] == name]
        return found[0] if found else None

    def all(self, resource: str) -> list[Json]:
        """See `Target`."""
        kind = resource.partition(".")[0]
        return list(json.loads(self._run("get", kind, "--output=json")))

    def apply(self, body: Json, *, take_over: bool = False) -> None:  # noqa: ARG002 - it has one owner
        """See `Target`."""
        self._run("apply", "--filename=-", stdin=json.dumps(body))

    def managers(self, body: Json, kind: RouteKind) -> list[str]:  # noqa: ARG002 - of the object as a whole
        """See `Target`."""
        manager = body["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by", "somebody else")
        return [] if manager == MANAGER else [manager]

    def metrics(self) -> str:
        """The address of the mesh's metrics.

        Raises:
            CanaryError: the lab is not running.
        """
        status = json.loads(self._run("status", "--json"))
        return f"{status['telemetry']}/metrics"

    def _run(self, *arguments: str, stdin: str = "") -> str:
        return _run([*self._program, *arguments, *self._where], arguments[0], stdin)


def _run(command: list[str], verb: str, stdin: str) -> str:
    name = command[0].rpartition("/")[2]
    try:
        # A session of its own: Ctrl-C is for the controller, whose way back needs this program.
        done = subprocess.run(  # noqa: S603 - the user's own program
            command, input=stdin, capture_output=True, text=True, timeout=_WITHIN, check=False, start_new_session=True
        )
    except OSError as error:
        raise CanaryError(f"{command[0]}: {error.strerror}: install it, or put it on PATH") from error
    except subprocess.TimeoutExpired:
        raise CanaryError(f"{name} {verb}: no answer within {_WITHIN:g} s") from None
    if done.returncode:
        # After a conflict kubectl goes on for paragraphs about what a person might do.
        reason = " ".join(done.stderr.partition("Please review the fields above")[0].split())
        raise CanaryError(f"{name} {verb}: {reason or 'no reason given'}")
    return done.stdout
