"""The transport sockets of a cluster: TLS from a proxy to an upstream, by DestinationRule or by auto-mTLS.

Istio: ClusterBuilder.applyUpstreamTLSSettings, pilot/pkg/networking/core/cluster_tls.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model.networking import ClientTLS, DestinationRuleSpec
from bookinfo_lab.resources.model.rules import Rule
from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate import tls
from bookinfo_lab.translate.registry import Host
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.xds import Json

TRANSPORT_SOCKET_MATCH = "envoy.transport_socket_match"
"""The metadata of an endpoint that chooses among the transport sockets of its cluster."""

MUTUAL_TLS_METADATA = {"tlsMode": "istio"}
"""The metadata of an endpoint that accepts mutual TLS."""


@dataclass(frozen=True)
class UpstreamTLS:
    """What decides the TLS of one cluster."""

    mesh: MeshSnapshot
    proxy: Proxy
    host: Host
    port: int
    subset: str
    rule: Rule[DestinationRuleSpec] | None
    settings: ClientTLS | None  # of `rule`

    @property
    def needs_auto_sni(self) -> bool:
        """Whether Envoy takes the SNI, and the name that it verifies, from the host of each request."""
        return self.settings is not None and self.settings.mode in ("SIMPLE", "MUTUAL") and self.settings.sni is None

    def transport_socket(self) -> Json:
        """Return the cluster's transport sockets. Without a setting: mutual TLS to every endpoint with a sidecar.

        Raises ManifestError for a missing Secret, or a Secret without a required key.
        """
        sni = f"outbound_.{self.port}_.{self.subset}_.{self.host.name}"
        if self.settings is None:
            return {} if self.host.is_external else _auto_mtls(tls.mutual_upstream(sni, self.host.identities))
        match self.settings.mode:
            case "DISABLE":
                return {}
            case "ISTIO_MUTUAL":
                identities = self.settings.subject_alt_names or self.host.identities
                return {"transport_socket": tls.mutual_upstream(self.settings.sni or sni, identities)}
            case _:
                return {"transport_socket": self._originating(self.settings)}

    def _originating(self, settings: ClientTLS) -> Json:
        ca = {"filename": settings.ca_certificates} if settings.ca_certificates else None
        certificate: tuple[Json, Json] | None = None
        if settings.client_certificate and settings.private_key:
            certificate = {"filename": settings.client_certificate}, {"filename": settings.private_key}
        if settings.credential_name:
            secret = self._secret(settings.credential_name)
            ca = self._inline(settings.credential_name, secret, ("ca.crt", "cacert"))
            if settings.mode == "MUTUAL":
                certificate = (
                    self._inline(settings.credential_name, secret, ("tls.crt", "cert")),
                    self._inline(settings.credential_name, secret, ("tls.key", "key")),
                )
        verify = not settings.insecure_skip_verify
        return tls.originating(settings.sni, settings.subject_alt_names, ca, certificate, verify=verify)

    def _secret(self, name: str) -> Json:
        for secret in self.mesh.topology.secrets:
            if (secret.namespace, secret.name) == (self.proxy.namespace, name):
                return dict(secret.data)
        error = manifest_errors.object_not_found("Secret", name, self.proxy.namespace)
        raise self._rule.document.error(error, ("spec",))

    def _inline(self, name: str, data: Json, keys: Sequence[str]) -> Json:
        for key in keys:
            if key in data:
                return {"inline_string": data[key]}
        raise self._rule.document.error(manifest_errors.key_not_found(name, keys), ("spec",))

    @property
    def _rule(self) -> Rule[DestinationRuleSpec]:
        if self.rule is None:
            raise TypeError("a TLS setting requires a rule")
        return self.rule


def _auto_mtls(mutual: Json) -> Json:
    return {
        "transport_socket_matches": [
            {"name": "tlsMode-istio", "match": MUTUAL_TLS_METADATA, "transport_socket": mutual},
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": tls.plaintext()},
        ]
    }
