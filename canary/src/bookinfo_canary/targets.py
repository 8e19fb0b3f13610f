"""Where the route is: in a cluster, through kubectl, or in the local lab, through `bookinfo apply`."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Protocol

from bookinfo_canary.errors import CanaryError
from bookinfo_canary.routes import FIELD_MANAGER, Json, RouteKind
from bookinfo_kubectl import CommandError, Kubectl, run_command

_COMMAND_TIMEOUT_SECONDS = 100.0


class Target(Protocol):
    """The objects of one namespace."""

    def get(self, resource: str, name: str) -> Json | None:
        """Return the current object, or None if there is none."""
        ...

    def list(self, resource: str) -> Sequence[Json]:
        """Return all objects of a kind."""
        ...

    def apply(self, manifest: Json, *, take_over: bool = False) -> None:
        """Create or change an object. With `take_over` this includes fields that another manager owns."""
        ...

    def other_managers(self, existing: Json, kind: RouteKind) -> Sequence[str]:
        """Return who else manages the weights of this object."""
        ...


class KubectlTarget:
    """One namespace of a cluster. With server-side apply the cluster records who owns which field."""

    def __init__(self, namespace: str, context: str | None = None, program: Sequence[str] = ("kubectl",)) -> None:
        self._kubectl = Kubectl(
            context, namespace, program, options=["--request-timeout=20s"], timeout_seconds=_COMMAND_TIMEOUT_SECONDS
        )

    def get(self, resource: str, name: str) -> Json | None:
        """See `Target`."""
        text = self._run("get", resource, name, "--output=json", "--ignore-not-found", "--show-managed-fields")
        return dict(json.loads(text)) if text.strip() else None

    def list(self, resource: str) -> Sequence[Json]:
        """See `Target`."""
        items: Sequence[Json] = json.loads(self._run("get", resource, "--output=json"))["items"]
        return items

    def apply(self, manifest: Json, *, take_over: bool = False) -> None:
        """See `Target`."""
        force = ["--force-conflicts"] if take_over else []
        arguments = ["apply", "--server-side", f"--field-manager={FIELD_MANAGER}", *force, "--filename=-"]
        self._run(*arguments, stdin=json.dumps(manifest))

    def other_managers(self, existing: Json, kind: RouteKind) -> Sequence[str]:
        """See `Target`. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management."""
        field = f"f:{kind.rules_field}"
        return sorted(
            {
                entry["manager"]
                for entry in existing["metadata"].get("managedFields", [])
                if entry["manager"] != FIELD_MANAGER and field in entry.get("fieldsV1", {}).get("f:spec", {})
            }
        )

    def _run(self, *arguments: str, stdin: str = "") -> str:
        with _canary_errors():
            return self._kubectl.run(*arguments, stdin=stdin)


class LabTarget:
    """The local lab. It does not record field managers, so the label of the object names its manager."""

    def __init__(self, lab: str | None = None, program: Sequence[str] = ("bookinfo",)) -> None:
        self._program = list(program)
        self._lab_option = [f"--lab={lab}"] if lab else []

    def get(self, resource: str, name: str) -> Json | None:
        """See `Target`."""
        found = [item for item in self.list(resource) if item["metadata"]["name"] == name]
        return found[0] if found else None

    def list(self, resource: str) -> Sequence[Json]:
        """See `Target`."""
        kind = resource.partition(".")[0]
        items: Sequence[Json] = json.loads(self._run("get", kind, "--output=json"))
        return items

    def apply(self, manifest: Json, *, take_over: bool = False) -> None:  # noqa: ARG002 - objects have one owner
        """See `Target`."""
        self._run("apply", "--filename=-", stdin=json.dumps(manifest))

    def other_managers(self, existing: Json, kind: RouteKind) -> Sequence[str]:  # noqa: ARG002 - one owner per object
        """See `Target`."""
        manager = existing["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by", "another client")
        return [] if manager == FIELD_MANAGER else [manager]

    def metrics_url(self) -> str:
        """Return the address of the mesh's metrics.

        Raises:
            CanaryError: the lab is not running.
        """
        status = json.loads(self._run("status", "--json"))
        return f"{status['telemetry']}/metrics"

    def _run(self, *arguments: str, stdin: str = "") -> str:
        with _canary_errors():
            return run_command(
                self._program,
                [*arguments, *self._lab_option],
                stdin=stdin,
                timeout_seconds=_COMMAND_TIMEOUT_SECONDS,
            )


@contextlib.contextmanager
def _canary_errors() -> Iterator[None]:
    """Report the failure of a program with its whole reason, without kubectl's advice after a conflict."""
    try:
        yield
    except CommandError as error:
        reason = " ".join(error.stderr.partition("Please review the fields above")[0].split())
        raise CanaryError(f"{error.command}: {reason}" if reason else str(error)) from error
