"""The certificate for an external host."""

import yaml
from cryptography import x509

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.scenarios.certificate import secret_manifest


def test_certificate_is_for_the_host_and_signed_by_its_ca() -> None:
    data = yaml.safe_load(secret_manifest("books.example"))["stringData"]
    leaf, ca = (x509.load_pem_x509_certificate(data[name].encode()) for name in ("tls.crt", "ca.crt"))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["books.example"]
    leaf.verify_directly_issued_by(ca)


def test_secret_is_new_at_each_call() -> None:
    first, second = secret_manifest("books.example"), secret_manifest("books.example")
    assert first != second
    (document,) = read_documents(first, "certificate")
    assert (document.kind, document.name) == ("Secret", "external-books")
