"""The program that `helm test` runs in a pod: request each URL until the outcome is the expected one or time is up.

    probe.py SECONDS (served|rejected) URL...

`served` expects status 200 and a body that contains the text after the URL's `#`. `rejected` expects that the mesh
closes the connection or returns 403. A name that does not resolve and a timeout are neither. If CONNECT_TO=HOST:PORT is
set, every connection goes to that address, whatever the host of the URL. Certificates are not verified because a pod
does not know the gateway's CA. The program prints one line per URL and exits 1 at the first unexpected outcome.
"""

import http.client
import os
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

ATTEMPT_SECONDS = 15  # the slowest page takes 6 s


def outcome(url: str, connect_to: str) -> str:
    """Return the outcome of one request to `url`: a status, `connection closed`, or another error."""
    target = urlsplit(url)
    address = urlsplit(f"//{connect_to or target.netloc}")
    port = address.port or (443 if target.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname, port), ATTEMPT_SECONDS) as plain:
            connection = http.client.HTTPConnection(target.netloc)
            connection.sock = wrap_tls(plain, target.hostname) if target.scheme == "https" else plain
            connection.request("GET", target.path)
            response = connection.getresponse()
            missing = target.fragment.encode() not in response.read()
            return f"{response.status} without {target.fragment}" if missing else str(response.status)
    except (ConnectionResetError, BrokenPipeError):  # RemoteDisconnected is a ConnectionResetError
        return "connection closed"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def wrap_tls(plain: socket.socket, server_name: str | None) -> ssl.SSLSocket:
    """Return a TLS connection over `plain`, without verification of the server's certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=server_name)


def main(seconds: str, expected: str, *urls: str) -> int:
    """Return 0 if every URL had the expected outcome, else 1."""
    expected_outcomes = {"served": ("200",), "rejected": ("connection closed", "403")}[expected]
    deadline = time.monotonic() + float(seconds)
    for url in urls:
        connect_to = os.environ.get("CONNECT_TO", "")
        while (observed := outcome(url, connect_to)) not in expected_outcomes and time.monotonic() < deadline:
            time.sleep(1)
        if observed not in expected_outcomes:
            print(f"FAILED: {url}: expected {' or '.join(expected_outcomes)}, got {observed}", flush=True)  # noqa: T201
            return 1
        print(f"ok: {url}: {observed}", flush=True)  # noqa: T201
    return 0


def stop_sidecar() -> None:
    """Stop Istio's pilot-agent (port 15020). A sidecar that is an ordinary container would keep the pod running."""
    try:
        with socket.create_connection(("127.0.0.1", 15020), 5) as agent:
            agent.sendall(b"POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            agent.recv(1)
    except OSError as error:
        print(f"the sidecar was not stopped: {error}; delete the pod if it keeps running", flush=True)  # noqa: T201


if __name__ == "__main__":
    exit_code = main(*sys.argv[1:])
    if os.environ.get("STOP_SIDECAR"):
        stop_sidecar()
    sys.exit(exit_code)
