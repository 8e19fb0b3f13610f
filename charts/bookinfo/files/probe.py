"""What `helm test` runs in a pod: asks each URL until it answers as expected, or the time is over.

    probe.py SECONDS (served|refused) URL...

`served` expects 200, with the text after the URL's `#` in the body; `refused` expects the mesh to break the connection
off or to answer 403. A name that does not resolve, and silence, are neither. With CONNECT_TO=HOST:PORT every connection
goes there, whatever the URL's host; its certificate is not checked, because a pod does not know the gateway's
authority. Prints a line for each URL; exits 1 at the first that disappoints.
"""

import http.client
import os
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

ATTEMPT_SECONDS = 15  # the longest page takes 6 s


def outcome(url: str, connect_to: str) -> str:
    """What one request of `url` comes to: a status, `broken off`, or what else went wrong."""
    target = urlsplit(url)
    via = urlsplit(f"//{connect_to or target.netloc}")
    port = via.port or (443 if target.scheme == "https" else 80)
    try:
        with socket.create_connection((via.hostname, port), ATTEMPT_SECONDS) as plain:
            connection = http.client.HTTPConnection(target.netloc)
            connection.sock = encrypted(plain, target.hostname) if target.scheme == "https" else plain
            connection.request("GET", target.path)
            answer = connection.getresponse()
            missing = target.fragment.encode() not in answer.read()
            return f"{answer.status} without {target.fragment}" if missing else str(answer.status)
    except (ConnectionResetError, BrokenPipeError):  # RemoteDisconnected is a ConnectionResetError
        return "broken off"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def encrypted(plain: socket.socket, server_name: str | None) -> ssl.SSLSocket:
    """The connection under TLS, whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=server_name)


def main(seconds: str, expected: str, *urls: str) -> int:
    """0 if every URL came to what was expected."""
    good = {"served": ("200",), "refused": ("broken off", "403")}[expected]
    deadline = time.monotonic() + float(seconds)
    for url in urls:
        while (seen := outcome(url, os.environ.get("CONNECT_TO", ""))) not in good and time.monotonic() < deadline:
            time.sleep(1)
        print(f"{'ok' if seen in good else 'FAILED'}: {url}: {seen}", flush=True)  # noqa: T201
        if seen not in good:
            return 1
    return 0


def stop_sidecar() -> None:
    """A sidecar that is an ordinary container would keep the pod running (Istio's pilot-agent, port 15020)."""
    try:
        with socket.create_connection(("127.0.0.1", 15020), 5) as agent:
            agent.sendall(b"POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            agent.recv(1)
    except OSError as error:
        print(f"the sidecar goes on: {error}", flush=True)  # noqa: T201


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    if os.environ.get("STOP_SIDECAR"):
        stop_sidecar()
    sys.exit(code)
