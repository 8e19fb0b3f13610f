"""The files in a proxy's directory. Each workload and each gateway has one, and its processes run in it.

Every path is relative to that directory, so that a long state directory never exceeds the 108 bytes that the path of a
Unix socket may have.
"""

from pathlib import Path

BOOTSTRAP = Path("bootstrap.json")
ADMIN_SOCKET = Path("admin.sock")
APP_SOCKET = Path("app.sock")
APP_LOG = "app.log"
ENVOY_LOG = "envoy.log"

REQUEST_RECORDS = Path("requests.pipe")
"""The pipe to which Envoy writes one record for each request, for `observe.records`."""

TLS = Path("tls")
CERTIFICATE = TLS / "cert.pem"
PRIVATE_KEY = TLS / "key.pem"
CA_CERTIFICATE = TLS / "ca.pem"
