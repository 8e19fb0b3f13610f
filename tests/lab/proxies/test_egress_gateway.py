"""An egress gateway, on real Envoys. Docstrings name the source in Istio."""

import contextlib
import http.client
import ssl
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-out}
spec:
  selector: {istio: egress}
  servers:
    - port: {number: 443, name: https, protocol: HTTPS}
      hosts: [books.example]
      tls: {mode: ISTIO_MUTUAL}
---
"""

THROUGH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: books}
spec:
  hosts: [books.example]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9080}]
  endpoints: [{address: %s}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: egress}
spec:
  host: egress
  trafficPolicy:
    portLevelSettings: [{port: {number: 443}, tls: {mode: ISTIO_MUTUAL, sni: %s}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: books}
spec:
  hosts: [books.example]
  gateways: [mesh, way-out]
  http:
    - match: [{gateways: [mesh], port: 80}]
      route: [{destination: {host: egress, port: {number: 443}}}]
    - match: [{gateways: [way-out], port: 443}]
      route: [{destination: {host: books.example, port: {number: 80}}}]
---
"""


def rules(mesh: Mesh, sni: str = "books.example") -> str:
    """Calls to books.example leave the mesh through the gateway. The workload `plain` is the external server."""
    return GATEWAY + THROUGH % (mesh.workload("plain-v1-1").address, sni)


def requests(mesh: Mesh, proxy: str, cluster: str) -> int:
    """The number of requests that a proxy sent to a cluster."""
    lines = mesh.admin(proxy, "/stats?filter=upstream_rq_total$").splitlines()
    return sum(int(line.rpartition(" ")[2]) for line in lines if line.startswith(f"cluster.{cluster}.upstream_rq"))


def test_external_calls_go_through_the_egress_gateway_only(mesh: Mesh) -> None:
    outside = "outbound|80||books.example"
    mesh.apply(rules(mesh))
    before = requests(mesh, "egress", outside)

    response = mesh.call("books.example", port=80)

    assert response.received["name"] == "plain-v1-1"
    assert response.received["headers"]["host"] == "books.example:80"
    assert requests(mesh, "egress", outside) == before + 1
    assert requests(mesh, "productpage-v1-1", outside) == 0


def test_egress_gateway_identifies_its_caller_by_mutual_tls(mesh: Mesh) -> None:
    policy = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: egress}\n"
        "spec: {selector: {matchLabels: {istio: egress}}, rules: [{from: [{source: {principals: "
        "[cluster.local/ns/default/sa/bookinfo-ratings]}}]}]}\n"
    )
    mesh.apply(rules(mesh) + policy)

    assert mesh.call("books.example", port=80, caller="ratings-v1-1").status == 200
    assert mesh.call("books.example", port=80, caller="productpage-v1-1").status == 403


def test_mutual_tls_server_accepts_only_its_sni_names(mesh: Mesh) -> None:
    """Istio: the filter chain matches by SNI, buildGatewayListenerTLSContext and the server's hosts."""
    mesh.apply(rules(mesh, sni="other.example"))

    assert mesh.call("books.example", port=80).status == 503


def test_client_without_mesh_certificate_is_rejected(mesh: Mesh) -> None:
    """Istio: mode ISTIO_MUTUAL requires a client certificate."""
    mesh.apply(rules(mesh))
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    plaintext = http.client.HTTPConnection(mesh.egress_address, 8443, timeout=5)
    without_certificate = http.client.HTTPSConnection(mesh.egress_address, 8443, timeout=5, context=unverified)

    for connection in (plaintext, without_certificate):
        with contextlib.closing(connection), pytest.raises((OSError, http.client.HTTPException)):
            send(connection)


def send(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/", headers={"host": "books.example"})
    connection.getresponse()


def test_one_port_is_either_plaintext_or_tls(mesh: Mesh) -> None:
    plain = (
        GATEWAY.replace("way-out", "plain").replace("HTTPS", "HTTP").replace("      tls: {mode: ISTIO_MUTUAL}\n", "")
    )
    with pytest.raises(ManifestError) as caught:
        mesh.write(GATEWAY + plain)
    assert caught.value.code == "port-without-tls"
