"""TLS contexts: mutual TLS between proxies with the lab's identities, and TLS with clients and servers outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bookinfo_lab.resources import proxy_directory

_UPSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"

ALPN = "istio"
"""The ALPN protocol by which a sidecar recognizes that its peer is a sidecar."""

_SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"

Json = dict[str, Any]


def plaintext() -> Json:
    """Return a transport socket without TLS."""
    return {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": _RAW}}


def mutual_upstream(sni: str, identities: Sequence[str]) -> Json:
    """Return mutual TLS as a client. The server must present one of `identities`; if empty, any of the mesh."""
    validation: Json = {"trusted_ca": _file(proxy_directory.CA_CERTIFICATE)}
    if identities:
        validation["match_typed_subject_alt_names"] = _names("URI", identities)
    return _socket({"@type": _UPSTREAM, "sni": sni, "common_tls_context": _common(validation)})


def mutual_downstream() -> Json:
    """Return mutual TLS as a server. The client must present a certificate of the lab's CA."""
    common = _common({"trusted_ca": _file(proxy_directory.CA_CERTIFICATE)})
    return _socket({"@type": _DOWNSTREAM, "common_tls_context": common, "require_client_certificate": True})


def terminating(certificate: str, key: str) -> Json:
    """Return TLS as a server for clients outside the mesh. `certificate` and its private `key` are PEM."""
    pair = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    common = {
        "alpn_protocols": ["http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [pair],
    }
    return _socket({"@type": _DOWNSTREAM, "common_tls_context": common})


def originating(
    sni: str | None,
    names: Sequence[str],
    ca: Json | None,
    certificate: tuple[Json, Json] | None,
    *,
    verify: bool,
) -> Json:
    """Return TLS as a client of a server outside the mesh.

    `ca` signs the server's certificate, which must be valid for one of `names`, if there are any. `ca` and the
    client's `certificate` and private key are Envoy data sources. Without `ca` the CAs of the system are trusted.
    """
    validation: Json = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    if verify:
        validation = {"trusted_ca": ca or {"filename": _SYSTEM_CAS}}
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
            {"certificate_chain": _file(proxy_directory.CERTIFICATE), "private_key": _file(proxy_directory.PRIVATE_KEY)}
        ],
        "validation_context": validation,
    }


def _file(file: Path) -> Json:
    return {"filename": str(file)}
