"""Certificates as Istio's CA issues them."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from bookinfo_lab.resources import proxy_directory
from bookinfo_lab.runtime import ca

IDENTITY = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"


@pytest.fixture(scope="module")
def authority() -> ca.Authority:
    return ca.create_authority("cluster.local")


@pytest.fixture
def leaf(authority: ca.Authority, tmp_path: Path) -> x509.Certificate:
    ca.issue(authority, IDENTITY, tmp_path)
    return x509.load_pem_x509_certificate((tmp_path / proxy_directory.CERTIFICATE).read_bytes())


def test_the_identity_is_a_critical_uri_and_there_is_no_subject(leaf: x509.Certificate) -> None:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)

    assert names.critical
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [IDENTITY]
    assert list(leaf.subject) == []


def test_the_key_is_on_p256(leaf: x509.Certificate) -> None:
    key = leaf.public_key()

    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_the_authority_vouches_for_it_as_a_client(authority: ca.Authority, leaf: x509.Certificate) -> None:
    verified = PolicyBuilder().store(Store([authority.certificate])).build_client_verifier().verify(leaf, [])

    assert verified.subjects is not None
    assert [name.value for name in verified.subjects] == [IDENTITY]


def test_another_authority_does_not_vouch_for_it(leaf: x509.Certificate) -> None:
    other = PolicyBuilder().store(Store([ca.create_authority("cluster.local").certificate])).build_client_verifier()

    with pytest.raises(x509.verification.VerificationError):
        other.verify(leaf, [])


def test_only_the_owner_reads_what_is_written(leaf: x509.Certificate, tmp_path: Path) -> None:
    files = (proxy_directory.CA_CERTIFICATE, proxy_directory.CERTIFICATE, proxy_directory.PRIVATE_KEY)

    assert {stat.S_IMODE((tmp_path / file).stat().st_mode) for file in files} == {0o600}
    assert {tmp_path / file for file in files} == set((tmp_path / proxy_directory.TLS).iterdir())
