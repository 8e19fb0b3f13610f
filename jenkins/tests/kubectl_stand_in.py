"""A kubectl for the stand-in of the Kubernetes API whose address is KUBERNETES: `get`, `logs` and server-side `apply`.

The canary controller calls it; each call is noted in the file CALLS, as a JSON list a line.
"""

# ruff: noqa: T201 - a program prints

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATHS = {
    "virtualservice": "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
    "destinationrule": "/apis/networking.istio.io/v1/namespaces/{}/destinationrules",
}


def main(arguments: list[str]) -> int:
    """Answer as kubectl does; 1 for what it does not know."""
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(json.dumps(["kubectl", *arguments]) + "\n")
    words = [word for word in arguments if not word.startswith("-")]
    namespace = next((word.partition("=")[2] for word in arguments if word.startswith("--namespace=")), "")
    match words:
        case ["get", resource, *name]:
            found = ask("GET", "/".join([path(resource, namespace), *name]))
            if found:
                print(json.dumps(found))
        case ["apply"] if "--server-side" in arguments:
            body = json.load(sys.stdin)
            ask("PATCH", f"{path(body['kind'], namespace)}/{body['metadata']['name']}", body)
        case ["logs", *_]:
            print("[pod/bookinfo-test-edges/probe] refused: reviews")
        case _:
            print(f"error: what is {words}?", file=sys.stderr)
            return 1
    return 0


def path(resource: str, namespace: str) -> str:
    """Where objects of a kind are."""
    return PATHS[resource.lower().partition(".")[0]].format(namespace)


def ask(method: str, where: str, body: Any = None) -> Any:
    """The answer's body; nothing where there is no such object."""
    request = urllib.request.Request(os.environ["KUBERNETES"] + where, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/apply-patch+yaml")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return None
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
