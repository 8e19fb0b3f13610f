"""Mutual TLS between proxies, with the identities of the lab's own authority."""

from collections.abc import Sequence
from typing import Any

from bookinfo_lab import bootstrap, ca

_UPSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"

ALPN = "istio"
"""Tells the receiving sidecar that the peer is a sidecar."""

Json = dict[str, Any]


def plaintext() -> Json:
    """A transport without TLS."""
    return {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": _RAW}}


def mutual_upstream(sni: str, identities: Sequence[str]) -> Json:
    """Mutual TLS as a client, with a peer that shows one of `identities` (any of the mesh's, if none is known)."""
    validation: Json = {"trusted_ca": _file(ca.CA_FILE)}
    if identities:
        validation["match_typed_subject_alt_names"] = [
            {"san_type": "URI", "matcher": {"exact": identity}} for identity in identities
        ]
    context = {"@type": _UPSTREAM, "sni": sni, "common_tls_context": _common(validation)}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def mutual_downstream() -> Json:
    """Mutual TLS as a server: the client must show a certificate of the lab's authority."""
    context = {
        "@type": _DOWNSTREAM,
        "common_tls_context": _common({"trusted_ca": _file(ca.CA_FILE)}),
        "require_client_certificate": True,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _common(validation: Json) -> Json:
    return {
        "alpn_protocols": [ALPN],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [{"certificate_chain": _file(ca.CERTIFICATE_FILE), "private_key": _file(ca.KEY_FILE)}],
        "validation_context": validation,
    }


def _file(name: str) -> Json:
    return {"filename": str(bootstrap.TLS_FOLDER / name)}
