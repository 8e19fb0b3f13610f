"""kubectl, as a function."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from bookinfo_lab.errors import LabError

Json = dict[str, Any]

_WITHIN = 300.0


class Kubectl:
    """One cluster and namespace."""

    def __init__(self, context: str, namespace: str, program: Sequence[str] = ("kubectl",)) -> None:
        self._command = [*program, f"--context={context}", f"--namespace={namespace}"]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl prints.

        Raises:
            LabError: it fails, or there is none.
        """
        command = [*self._command, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - the user's own kubectl
                command, input=stdin, capture_output=True, text=True, timeout=_WITHIN, check=False
            )
        except FileNotFoundError:
            raise LabError(f"{command[0]}: not found; install it, or leave --context out to use the lab") from None
        except subprocess.TimeoutExpired:
            raise LabError(f"kubectl {arguments[0]}: no answer within {_WITHIN:g} s") from None
        if done.returncode:
            last = done.stderr.strip().splitlines() or ["no reason given"]
            raise LabError(f"kubectl {' '.join(arguments[:2])}: {last[-1]}")
        return done.stdout

    def find(self, body: Mapping[str, Any]) -> Json | None:
        """The object of that kind and name as it is in the cluster; None if there is none."""
        found = self.run("get", "-f", "-", "-o", "json", "--ignore-not-found", stdin=json.dumps(body))
        return dict(json.loads(found)) if found.strip() else None

    def put(self, body: Mapping[str, Any], *, exists: bool) -> None:
        """Create the object, or make the one that exists exactly this."""
        self.run("replace" if exists else "create", "-f", "-", stdin=json.dumps(body))

    def delete(self, body: Mapping[str, Any]) -> None:
        """Delete the object, and wait until it is gone."""
        self.run("delete", "-f", "-", "--ignore-not-found", "--wait", stdin=json.dumps(body))
