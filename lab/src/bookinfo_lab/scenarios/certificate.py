"""A certificate for a host outside the mesh, issued by its own CA, as a Secret."""

import datetime as dt

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SECRET = "external-books"  # noqa: S105 - a name
LIFETIME = dt.timedelta(days=365)
_CLOCK_SKEW = dt.timedelta(hours=1)


def secret_manifest(host: str) -> str:
    """Return a Secret with `tls.crt`, `tls.key` and `ca.crt` for `host`. Each call creates new keys.

    The keys of the Secret are those that cert-manager uses. The CA's private key is not stored.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bookinfo external CA")])
    now = dt.datetime.now(dt.UTC)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer, subject, public, x509.random_serial_number(), now - _CLOCK_SKEW, now + LIFETIME
        )

    root = (
        builder(issuer, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": leaf.public_bytes(serialization.Encoding.PEM).decode(),
            "tls.key": private.decode(),
            "ca.crt": root.public_bytes(serialization.Encoding.PEM).decode(),
        },
    }
    return yaml.safe_dump(secret, sort_keys=False)
