"""kubectl, as a function."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bookinfo_lab.errors import LabError

Json = dict[str, Any]
T = TypeVar("T")

_WITHIN = 300.0
_PAUSE = 1.0
# What kubectl says when it, or the API server behind it, has no connection (k8s.io/kubectl/pkg/cmd/util, net/http).
_LOST = re.compile(
    r"unable to connect to the server|connection (to the server .* was )?refused|connection reset by peer|i/o timeout"
    r"|tls handshake timeout|unexpected eof|: eof$|no route to host|network is unreachable|client connection lost"
    r"|unable to handle the request|etcdserver: (request timed out|leader changed)|error dialing backend",
    re.IGNORECASE,
)


_NO_CONTEXT = re.compile("context .* does not exist|context was not found")
_NO_KIND = re.compile("no matches for kind|doesn't have a resource type")


class NoSuchKindError(LabError):
    """The cluster knows no objects of that kind: their definition is not installed."""


class ConnectionLostError(LabError):
    """The cluster does not answer. What was asked of it may have been done all the same."""


class Kubectl:
    """One cluster and namespace. What can be asked twice is, for `patience` seconds of a lost connection."""

    def __init__(
        self, context: str, namespace: str, program: Sequence[str] = ("kubectl",), patience: float = 60.0
    ) -> None:
        self._command = [*program, f"--context={context}"]
        self._namespace = namespace
        self._patience = patience

    def run(self, *arguments: str, stdin: str = "", namespace: str = "") -> str:
        """What kubectl prints; asked once, since it may be traffic that is counted.

        Raises:
            ConnectionLostError: the cluster does not answer.
            NoSuchKindError: it does not know the kind that is asked for.
            LabError: it fails, or there is none.
        """
        command = [*self._command, f"--namespace={namespace or self._namespace}", *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - the user's own kubectl
                command,
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # a log holds what its callers sent
                timeout=_WITHIN,
                check=False,
                start_new_session=True,  # Ctrl-C is for whoever verifies: kubectl is still needed to put things back
            )
        except FileNotFoundError:
            raise LabError(f"{command[0]}: not found; install it, or leave --context out to use the lab") from None
        except OSError as error:
            raise LabError(f"{command[0]}: {error.strerror}; it cannot be run") from None
        except subprocess.TimeoutExpired:
            raise ConnectionLostError(f"kubectl {arguments[0]}: no answer within {_WITHIN:g} s") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            text = f"kubectl {' '.join(arguments[:2])}: {last}"
            if _NO_CONTEXT.search(done.stderr):
                raise LabError(f"{text}; `kubectl config get-contexts` lists those that there are")
            if _NO_KIND.search(done.stderr):
                raise NoSuchKindError(text)
            raise ConnectionLostError(text) if _LOST.search(last) else LabError(text)
        return done.stdout

    def read(self, *arguments: str, namespace: str = "") -> str:
        """What kubectl prints of a question that changes nothing. Raises as `run` does."""
        return self._patiently(lambda: self.run(*arguments, namespace=namespace))

    def parsed(self, *arguments: str, namespace: str = "") -> Json:
        """The JSON of such a question (`-o json`); {} if there is no answer. Raises as `run` does."""
        return _parsed(self.read(*arguments, namespace=namespace), arguments)

    def find(self, body: Mapping[str, Any]) -> Json | None:
        """The object of that kind and name as it is in the cluster; None if there is none."""
        return self._patiently(lambda: self._find(body))

    def put(self, body: Mapping[str, Any]) -> None:
        """Create the object, or make the one that exists exactly this."""
        # Asked anew each time: the attempt that the connection was lost in may have created it.
        self._patiently(lambda: self._send("replace" if self._find(body) else "create", body))

    def delete(self, body: Mapping[str, Any]) -> None:
        """Delete the object, and wait until it is gone."""
        self._patiently(lambda: self._send("delete", body, "--ignore-not-found", "--wait"))

    def _find(self, body: Mapping[str, Any]) -> Json | None:
        found = self._send("get", body, "-o", "json", "--ignore-not-found")
        # Of what comes from a file kubectl makes a list, even of one.
        return dict(_parsed(found, ("get", body["kind"]))["items"][0]) if found.strip() else None

    def _send(self, verb: str, body: Mapping[str, Any], *options: str) -> str:
        # kubectl refuses a body whose namespace is another than the one that it is told.
        namespace = body["metadata"].get("namespace", "")
        return self.run(verb, "-f", "-", *options, stdin=json.dumps(body), namespace=namespace)

    def _patiently(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return ask()
            except ConnectionLostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(min(_PAUSE, self._patience / 20))


def _parsed(text: str, asked: Sequence[str]) -> Json:
    try:
        return dict(json.loads(text)) if text.strip() else {}
    except ValueError:
        first = text.strip().splitlines()[0]
        raise LabError(f"kubectl {' '.join(asked[:2])}: printed {first[:80]!r} where JSON was asked for") from None
