"""Runs kubectl."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bookinfo_lab.errors import LabError

Json = dict[str, Any]
T = TypeVar("T")

_TIMEOUT_SECONDS = 300.0
_RETRY_SECONDS = 1.0
# Messages of kubectl when it, or the API server, has no connection (k8s.io/kubectl/pkg/cmd/util, net/http).
_CONNECTION_LOST = re.compile(
    r"unable to connect to the server|connection (to the server .* was )?refused|connection reset by peer|i/o timeout"
    r"|tls handshake timeout|unexpected eof|: eof$|no route to host|network is unreachable|client connection lost"
    r"|unable to handle the request|etcdserver: (request timed out|leader changed)|error dialing backend",
    re.IGNORECASE,
)
_UNKNOWN_CONTEXT = re.compile("context .* does not exist|context was not found")
_UNKNOWN_KIND = re.compile("no matches for kind|doesn't have a resource type")


class UnknownKindError(LabError):
    """The cluster does not define this kind, because its CRD is not installed."""


class ConnectionLostError(LabError):
    """The cluster did not respond. It may have executed the command."""


class Kubectl:
    """kubectl for one cluster and namespace.

    A command that may run twice is retried for `retry_seconds` while the connection is lost.
    """

    def __init__(
        self, context: str, namespace: str, program: Sequence[str] = ("kubectl",), retry_seconds: float = 60.0
    ) -> None:
        self._command = [*program, f"--context={context}"]
        self._namespace = namespace
        self._retry_seconds = retry_seconds

    def run(self, *arguments: str, stdin: str = "", namespace: str = "") -> str:
        """Run kubectl once and return its output. It is not retried, because the command may be traffic that counts.

        Raises:
            ConnectionLostError: the cluster does not respond.
            UnknownKindError: the cluster does not define the kind.
            LabError: kubectl fails or is not installed.
        """
        command = [*self._command, f"--namespace={namespace or self._namespace}", *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - the user's own kubectl
                command,
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # a log contains what its clients sent
                timeout=_TIMEOUT_SECONDS,
                check=False,
                start_new_session=True,  # Ctrl-C must not stop kubectl, because restoring the cluster needs it
            )
        except FileNotFoundError:
            raise LabError(f"{command[0]}: not found; install it, or omit --context to use the lab") from None
        except OSError as error:
            raise LabError(f"{command[0]}: cannot be executed ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise ConnectionLostError(f"kubectl {arguments[0]}: no response within {_TIMEOUT_SECONDS:g} s") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            text = f"kubectl {' '.join(arguments[:2])}: {last}"
            if _UNKNOWN_CONTEXT.search(done.stderr):
                raise LabError(f"{text}; `kubectl config get-contexts` lists the contexts")
            if _UNKNOWN_KIND.search(done.stderr):
                raise UnknownKindError(text)
            raise ConnectionLostError(text) if _CONNECTION_LOST.search(last) else LabError(text)
        return done.stdout

    def read(self, *arguments: str, namespace: str = "") -> str:
        """Return the output of a command that changes nothing. Raises as `run` does."""
        return self._with_retries(lambda: self.run(*arguments, namespace=namespace))

    def parsed(self, *arguments: str, namespace: str = "") -> Json:
        """Return the JSON output of such a command; {} if the output is empty. Raises as `run` does."""
        return _parse(self.read(*arguments, namespace=namespace), arguments)

    def find(self, body: Mapping[str, Any]) -> Json | None:
        """Return the object of that kind and name in the cluster; None if it does not exist."""
        return self._with_retries(lambda: self._find(body))

    def put(self, body: Mapping[str, Any]) -> None:
        """Create the object, or replace the existing one."""
        # Each attempt looks first: an attempt that lost the connection may have created the object.
        self._with_retries(lambda: self._send("replace" if self._find(body) else "create", body))

    def delete(self, body: Mapping[str, Any]) -> None:
        """Delete the object and wait until it no longer exists."""
        self._with_retries(lambda: self._send("delete", body, "--ignore-not-found", "--wait"))

    def _find(self, body: Mapping[str, Any]) -> Json | None:
        output = self._send("get", body, "-o", "json", "--ignore-not-found")
        # kubectl returns a list for input from a file, even for one object.
        return dict(_parse(output, ("get", body["kind"]))["items"][0]) if output.strip() else None

    def _send(self, verb: str, body: Mapping[str, Any], *options: str) -> str:
        # kubectl rejects a body whose namespace differs from its --namespace option.
        namespace = body["metadata"].get("namespace", "")
        return self.run(verb, "-f", "-", *options, stdin=json.dumps(body), namespace=namespace)

    def _with_retries(self, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._retry_seconds
        while True:
            try:
                return attempt()
            except ConnectionLostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(min(_RETRY_SECONDS, self._retry_seconds / 20))


def _parse(text: str, arguments: Sequence[str]) -> Json:
    try:
        return dict(json.loads(text)) if text.strip() else {}
    except ValueError:
        first = text.strip().splitlines()[0]
        raise LabError(f"kubectl {' '.join(arguments[:2])}: expected JSON, got {first[:80]!r}") from None
