"""TLS contexts: mutual TLS between proxies with the lab's own identities, and TLS towards the world outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bookinfo_lab.resources import proxy_directory

_UPSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"

ALPN = "istio"
"""Tells the receiving sidecar that the peer is a sidecar."""

_SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"

Json = dict[str, Any]


def plaintext() -> Json:
    """A transport without TLS."""
    return {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": _RAW}}


def mutual_upstream(sni: str, identities: Sequence[str]) -> Json:
    """Mutual TLS as a client, with a peer that shows one of `identities` (any of the mesh's, if none is known)."""
    validation: Json = {"trusted_ca": _own(proxy_directory.CA_CERTIFICATE)}
    if identities:
        validation["match_typed_subject_alt_names"] = _names("URI", identities)
    return _socket({"@type": _UPSTREAM, "sni": sni, "common_tls_context": _common(validation)})


def mutual_downstream() -> Json:
    """Mutual TLS as a server: the client must show a certificate of the lab's authority."""
    common = _common({"trusted_ca": _own(proxy_directory.CA_CERTIFICATE)})
    return _socket({"@type": _DOWNSTREAM, "common_tls_context": common, "require_client_certificate": True})


def terminated(certificate: str, key: str) -> Json:
    """TLS as a server for the world outside, with this certificate and its private key, both in PEM."""
    pair = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    common = {
        "alpn_protocols": ["http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [pair],
    }
    return _socket({"@type": _DOWNSTREAM, "common_tls_context": common})


def originated(
    sni: str | None,
    names: Sequence[str],
    authority: Json | None,
    certificate: tuple[Json, Json] | None,
    *,
    verify: bool,
) -> Json:
    """TLS to a server outside the mesh, whose certificate must be for one of `names` (if any) by `authority`.

    `authority`, and the client's `certificate` and key, are Envoy data sources; without an authority the system's hold.
    """
    validation: Json = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    if verify:
        validation = {"trusted_ca": authority or {"filename": _SYSTEM_ROOTS}}
        if names:
            validation["match_typed_subject_alt_names"] = _names("DNS", names)
    common: Json = {"validation_context": validation}
    if certificate is not None:
        common["tls_certificates"] = [{"certificate_chain": certificate[0], "private_key": certificate[1]}]
    return _socket({"@type": _UPSTREAM, **({"sni": sni} if sni else {}), "common_tls_context": common})


def _socket(context: Json) -> Json:
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _names(san_type: str, names: Sequence[str]) -> list[Json]:
    return [{"san_type": san_type, "matcher": {"exact": name}} for name in names]


def _common(validation: Json) -> Json:
    return {
        "alpn_protocols": [ALPN],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [
            {"certificate_chain": _own(proxy_directory.CERTIFICATE), "private_key": _own(proxy_directory.PRIVATE_KEY)}
        ],
        "validation_context": validation,
    }


def _own(file: Path) -> Json:
    return {"filename": str(file)}
