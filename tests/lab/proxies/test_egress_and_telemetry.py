"""Calls to hosts outside the mesh, rate limits, access logs and spans, on real Envoys."""

import contextlib
import datetime as dt
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bookinfo_lab.resources.documents import ManifestError
from bookinfo_lab.resources.topology import Secret
from bookinfo_lab.translate.listeners import OUTBOUND_PORT

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

HOST = "books.example"


@pytest.fixture(scope="module")
def certificate() -> tuple[str, str]:
    """A server's certificate for HOST, which is its own CA, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


@pytest.fixture(scope="module")
def outside(_running_mesh: Mesh, certificate: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a server outside the mesh: plaintext at 8080, TLS at 8443."""
    directory = tmp_path_factory.mktemp("outside")
    for name, text in zip(("cert.pem", "key.pem"), certificate, strict=True):
        (directory / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    address: str = _running_mesh.network.take()
    application = type(_running_mesh.collector)("outside")
    _running_mesh.serve_tcp(application, address, 8080)
    _running_mesh.serve_tcp(application, address, 8443, context)
    return address


@pytest.fixture
def with_secret(mesh: Mesh, certificate: tuple[str, str]) -> Iterator[None]:
    """The Secret `books`, which contains the CA of the external server."""
    before = mesh.topology
    mesh.topology = replace(before, secrets=(Secret("books", "default", {"ca.crt": certificate[0]}),))
    yield
    mesh.topology = before


def entry(address: str, ports: str = "[{number: 80, name: http, protocol: HTTP, targetPort: 8080}]") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: books}\n"
        f"spec: {{hosts: [{HOST}], resolution: STATIC, ports: {ports}, endpoints: [{{address: {address}}}]}}\n---\n"
    )


def tls(settings: str) -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: books}\n"
        f"spec: {{host: {HOST}, workloadSelector: {{matchLabels: {{app: productpage}}}}, "
        f"trafficPolicy: {{tls: {{{settings}}}}}}}\n"
    )


ENCRYPTED = "[{number: 80, name: http, protocol: HTTP, targetPort: 8443}]"


def test_external_host_is_502_without_service_entry(mesh: Mesh, outside: str) -> None:
    assert mesh.call(HOST, port=80).status == 502

    mesh.apply(entry(outside))

    response = mesh.call(HOST, port=80)
    assert response.received["name"] == "outside"
    assert "x-forwarded-client-cert" not in response.received["headers"]


def test_tls_origination_verifies_the_server_with_the_secret(mesh: Mesh, outside: str, with_secret: None) -> None:
    names = f"sni: {HOST}, subjectAltNames: [{HOST}]"
    mesh.apply(entry(outside, ENCRYPTED) + tls(f"mode: SIMPLE, credentialName: books, {names}"))

    assert mesh.call(HOST, port=80).received["name"] == "outside"


def test_host_of_the_request_is_sni_and_verified_name_by_default(mesh: Mesh, outside: str, with_secret: None) -> None:
    """Istio: auto_sni and auto_san_validation."""
    mesh.apply(entry(outside, ENCRYPTED) + tls("mode: SIMPLE, credentialName: books"))

    assert mesh.call(HOST, port=80).received["name"] == "outside"


def test_server_certificate_for_another_name_is_not_trusted(mesh: Mesh, outside: str, with_secret: None) -> None:
    names = f"sni: {HOST}, subjectAltNames: [other.example]"
    mesh.apply(entry(outside, ENCRYPTED) + tls(f"mode: SIMPLE, credentialName: books, {names}"))

    assert mesh.call(HOST, port=80).status == 503


def test_missing_secret_is_rejected(mesh: Mesh, outside: str) -> None:
    with pytest.raises(ManifestError) as caught:
        mesh.apply(entry(outside, ENCRYPTED) + tls("mode: SIMPLE, credentialName: books"))
    assert caught.value.code == "object-not-found"


def test_https_host_is_reachable_through_a_tunnel(mesh: Mesh, outside: str, certificate: tuple[str, str]) -> None:
    mesh.apply(entry(outside, "[{number: 443, name: https, protocol: HTTPS, targetPort: 8443}]"))
    context = ssl.create_default_context(cadata=certificate[0])

    connection = http.client.HTTPSConnection(mesh.workload("productpage-v1-1").address, OUTBOUND_PORT, context=context)
    connection.set_tunnel(HOST, 443)
    with contextlib.closing(connection):
        connection.request("GET", "/through")
        assert connection.getresponse().status == 200


def test_tunnel_to_an_unknown_host_is_rejected(mesh: Mesh) -> None:
    address = (mesh.workload("productpage-v1-1").address, OUTBOUND_PORT)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: elsewhere.example:443\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 502")


def test_allow_any_permits_calls_to_unknown_hosts(mesh: Mesh, outside: str) -> None:
    assert mesh.call(outside, port=8080).status == 502

    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: open}\n"
        "spec: {workloadSelector: {labels: {app: productpage}}, outboundTrafficPolicy: {mode: ALLOW_ANY}}"
    )

    assert mesh.call(outside, port=8080).received["name"] == "outside"
    assert mesh.call(outside, port=8080, caller="reviews-v1-1").status == 502


def test_sidecar_limits_the_hosts_that_a_workload_can_call(mesh: Mesh) -> None:
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default}\n"
        "spec: {egress: [{hosts: ['./reviews.default.svc.cluster.local']}]}"
    )

    assert mesh.call("reviews").status == 200
    assert mesh.call("ratings").status == 502


LIMIT = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: limit}
spec:
  workloadSelector: {labels: {app: reviews, version: v1}}
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
      patch:
        operation: INSERT_BEFORE
        value:
          name: envoy.filters.http.local_ratelimit
          typed_config:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s}
              filter_enabled: {runtime_key: e, default_value: {numerator: 100, denominator: HUNDRED}}
              filter_enforced: {runtime_key: f, default_value: {numerator: 100, denominator: HUNDRED}}
              response_headers_to_add:
                - {append: false, header: {key: x-local-rate-limit, value: "true"}}
"""


def test_rate_limit_rejects_the_fifth_request_on_an_open_connection(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200
        mesh.apply(LIMIT)
        responses = [connection.get() for _ in range(5)]
        assert connection.is_unchanged

    assert [response.status for response in responses] == [200, 200, 200, 200, 429]
    assert responses[-1].headers["x-local-rate-limit"] == "true"


LOGGED = (
    "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: logs}\n"
    "spec: {accessLogging: [{providers: [{name: envoy}]FILTER}]}"
)


def test_access_log_has_a_line_in_istio_format_for_each_request(mesh: Mesh) -> None:
    assert mesh.call("reviews", "/before").status == 200
    mesh.apply(LOGGED.replace("FILTER", ""))

    assert mesh.call("reviews", "/after").status == 200

    assert _within(lambda: '"GET /after HTTP/1.1" 200 - via_upstream' in mesh.log("productpage-v1-1"))
    assert "/before" not in mesh.log("productpage-v1-1")
    assert "outbound|9080||reviews.default.svc.cluster.local" in mesh.log("productpage-v1-1")


def test_access_log_can_be_limited_to_errors(mesh: Mesh) -> None:
    mesh.apply(LOGGED.replace("FILTER", ", filter: {expression: response.code >= 400}"))

    mesh.call("reviews", "/fine")
    mesh.call("reviews", "/status/500")

    assert _within(lambda: "/status/500" in mesh.log("productpage-v1-1"))
    assert "/fine" not in mesh.log("productpage-v1-1")


def test_telemetry_sends_spans_to_the_collector(mesh: Mesh) -> None:
    mesh.apply(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: traces}\n"
        "spec: {tracing: [{providers: [{name: opentelemetry}], randomSamplingPercentage: 100}]}"
    )

    assert "traceparent" in mesh.call("reviews").received["headers"]
    assert _within(lambda: "/v1/traces" in mesh.collector.requests)


def _within(condition: Any, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
