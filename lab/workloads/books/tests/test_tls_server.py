"""The book service with TLS."""

import datetime as dt
import ipaddress
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.testclient import TestClient

from bookinfo_books.app import create_app
from bookinfo_books.settings import Settings


@pytest.fixture
def certificate() -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "books")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_tls_port_serves_with_the_certificate(
    socket_enabled: None, certificate: tuple[str, str], tmp_path: Path
) -> None:
    chain, key = certificate
    (tmp_path / "ca.pem").write_text(chain)
    port = _free_port()
    settings = Settings.load(host="127.0.0.1", tls_port=port, tls_certificate=chain, tls_key=key)
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with (
        TestClient(create_app(settings)),
        urllib.request.urlopen(f"https://127.0.0.1:{port}/health", context=trust, timeout=10) as response,
    ):
        assert response.status == 200


def test_invalid_certificate_stops_the_service(socket_enabled: None, certificate: tuple[str, str]) -> None:
    settings = Settings.load(host="127.0.0.1", tls_port=_free_port(), tls_certificate="invalid", tls_key=certificate[1])
    with pytest.raises(ssl.SSLError), TestClient(create_app(settings)):
        pass
