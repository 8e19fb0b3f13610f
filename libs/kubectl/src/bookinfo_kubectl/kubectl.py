"""kubectl for one namespace of one cluster."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bookinfo_kubectl.commands import CommandError, CommandTimeoutError, run_command

Json = dict[str, Any]
T = TypeVar("T")

_RETRY_PAUSE_SECONDS = 1.0
# Messages of kubectl when it, or the API server, has no connection (k8s.io/kubectl/pkg/cmd/util, net/http).
_CONNECTION_LOST = re.compile(
    r"unable to connect to the server|connection (to the server .* was )?refused|connection reset by peer|i/o timeout"
    r"|tls handshake timeout|unexpected eof|: eof$|no route to host|network is unreachable|client connection lost"
    r"|unable to handle the request|etcdserver: (request timed out|leader changed)|error dialing backend",
    re.IGNORECASE,
)
_UNKNOWN_CONTEXT = re.compile("context .* does not exist|context was not found")
_UNKNOWN_KIND = re.compile("no matches for kind|doesn't have a resource type")


class UnknownKindError(CommandError):
    """The cluster does not define this kind, because its CRD is not installed."""


class ConnectionLostError(CommandError):
    """The cluster did not respond. It may have executed the command."""


class Kubectl:
    """kubectl for one cluster and namespace.

    A command that may run twice is retried for `retry_seconds` while the connection is lost.
    """

    def __init__(
        self,
        context: str | None,
        namespace: str,
        program: Sequence[str] = ("kubectl",),
        *,
        options: Sequence[str] = (),
        retry_seconds: float = 60.0,
        timeout_seconds: float = 300.0,
    ) -> None:
        """Without `context`, kubectl's current context is used. `options` are passed to every command."""
        self._program = [*program, *([f"--context={context}"] if context else []), *options]
        self._namespace = namespace
        self._retry_seconds = retry_seconds
        self._timeout_seconds = timeout_seconds

    def run(self, *arguments: str, stdin: str = "", namespace: str = "") -> str:
        """Run kubectl once and return its output. It is not retried, because the command may be traffic that counts.

        Raises:
            ConnectionLostError: the cluster does not respond.
            UnknownKindError: the cluster does not define the kind.
            CommandError: kubectl fails or is not installed.
        """
        options = [f"--namespace={namespace or self._namespace}"]
        try:
            return run_command(
                [*self._program, *options], arguments, stdin=stdin, timeout_seconds=self._timeout_seconds
            )
        except CommandTimeoutError as error:
            raise ConnectionLostError(str(error)) from None
        except CommandError as error:
            raise _specific(error) from None

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
                time.sleep(min(_RETRY_PAUSE_SECONDS, self._retry_seconds / 20))


def _specific(error: CommandError) -> CommandError:
    """Return the error of the class that tells the caller what to do."""
    if _UNKNOWN_CONTEXT.search(error.stderr):
        return CommandError(f"{error}; `kubectl config get-contexts` lists the contexts", error.command, error.stderr)
    if _UNKNOWN_KIND.search(error.stderr):
        return UnknownKindError(str(error), error.command, error.stderr)
    if _CONNECTION_LOST.search((error.stderr.strip().splitlines() or [""])[-1]):
        return ConnectionLostError(str(error), error.command, error.stderr)
    return error


def _parse(text: str, arguments: Sequence[str]) -> Json:
    try:
        return dict(json.loads(text)) if text.strip() else {}
    except ValueError:
        first = text.strip().splitlines()[0]
        raise CommandError(f"kubectl {' '.join(arguments[:2])}: expected JSON, got {first[:80]!r}") from None
