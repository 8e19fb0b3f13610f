"""Security policies on real Envoys, also on connections that stay open while a policy changes."""

import base64
import contextlib
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

DENIED = (403, "RBAC: access denied")
CONNECTION_ERRORS = (OSError, http.client.HTTPException)
ISSUER = "https://tokens.example"


def peer_authentication(mode: str, more: str = "") -> str:
    return (
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: default}}\nspec: {{mtls: {{mode: {mode}}}{more}}}\n"
    )


def allowed(app: str, spec: str, name: str = "", action: str = "ALLOW") -> str:
    return (
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name or app}}}\n"
        f"spec: {{selector: {{matchLabels: {{app: {app}}}}}, action: {action}, {spec}}}\n"
    )


NOTHING = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nothing}\nspec: {}\n"
BY_REVIEWS = "rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/bookinfo-reviews]}}]}]"


def status_and_reason(response: Any) -> tuple[int, str]:
    return response.status, response.body if response.status == 403 else ""


# Identity


def test_application_receives_the_identity_of_its_caller(mesh: Mesh) -> None:
    """Istio: auto-mTLS; the inbound sidecar appends x-forwarded-client-cert (APPEND_FORWARD)."""
    header = mesh.call("reviews").received["headers"]["x-forwarded-client-cert"]

    assert "URI=spiffe://cluster.local/ns/default/sa/bookinfo-productpage" in header


def test_caller_without_sidecar_cannot_claim_an_identity(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        response = connection.get(
            x_forwarded_client_cert="URI=spiffe://cluster.local/ns/default/sa/bookinfo-productpage"
        )

    assert "x-forwarded-client-cert" not in response.received["headers"]


def test_workload_without_sidecar_is_called_in_plaintext(mesh: Mesh) -> None:
    assert mesh.call("plain").received["name"] == "plain-v1-1"


def test_destination_rule_can_disable_mutual_tls(mesh: Mesh) -> None:
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\n"
        "spec: {host: reviews, trafficPolicy: {tls: {mode: DISABLE}}}"
    )

    assert "x-forwarded-client-cert" not in mesh.call("reviews").received["headers"]


def test_server_header_is_overwritten_by_the_mesh(mesh: Mesh) -> None:
    """Istio: OVERWRITE; `envoy` for responses to a sidecar's own application, `istio-envoy` for all others."""
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().headers["server"] == "istio-envoy"
    assert mesh.call("reviews").headers["server"] == "envoy"
    assert mesh.request_gateway().headers["server"] == "istio-envoy"


# The gateway does not trust headers of clients


def test_gateway_overwrites_forwarded_headers_of_a_client(mesh: Mesh) -> None:
    received = mesh.request_gateway(x_forwarded_proto="https", x_forwarded_client_cert="URI=spiffe://x").received[
        "headers"
    ]

    assert received["x-forwarded-proto"] == "http"
    assert "spiffe://x" not in received["x-forwarded-client-cert"]


def test_envoy_headers_of_a_client_are_ignored_at_the_gateway(mesh: Mesh) -> None:
    """Envoy accepts x-envoy-* headers from internal addresses only. At the gateway every address is external."""
    assert mesh.request_gateway("/sleep/0.2", x_envoy_upstream_rq_timeout_ms="1").status == 200


def test_request_id_is_kept_or_generated(mesh: Mesh) -> None:
    assert mesh.request_gateway(x_request_id="mine").received["headers"]["x-request-id"] == "mine"
    assert mesh.request_gateway().received["headers"]["x-request-id"]


# PeerAuthentication


def test_strict_mode_rejects_plaintext_at_every_workload(mesh: Mesh) -> None:
    mesh.apply(peer_authentication("STRICT"))

    for workload in mesh.topology.workloads:
        if workload.sidecar:
            with contextlib.closing(mesh.direct(workload.name)) as connection, pytest.raises(CONNECTION_ERRORS):
                connection.get()
    assert mesh.call("reviews").status == 200


def test_strict_mode_affects_open_plaintext_connection(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200
        mesh.apply(peer_authentication("STRICT"))
        try:
            response = connection.get()
        except CONNECTION_ERRORS:
            return  # a closed connection is also a rejection
        assert connection.is_unchanged
        assert status_and_reason(response) == DENIED


def test_no_mesh_request_is_lost_while_strict_mode_changes(mesh: Mesh) -> None:
    failures: list[str] = []
    done = False

    def load() -> None:
        with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
            while not done:
                response = connection.get()
                if response.status != 200:
                    failures.append(f"{response.status} {response.body}")

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load) for _ in range(2)]
        for mode in ("STRICT", "PERMISSIVE") * 4:
            mesh.apply(peer_authentication(mode))
        done = True
        for item in loads:
            item.result()

    assert failures == []


def test_port_level_mode_precedes_workload_mode(mesh: Mesh) -> None:
    """Istio: ComposePeerAuthentication."""
    mesh.apply(
        peer_authentication("STRICT").replace("name: default", "name: reviews").replace(
            "spec: {", "spec: {selector: {matchLabels: {app: reviews}}, portLevelMtls: {9080: {mode: PERMISSIVE}}, "
        ).replace("9080:", "'9080':")
    )  # fmt: skip

    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200


def test_callers_use_plaintext_if_mutual_tls_is_disabled(mesh: Mesh) -> None:
    """Istio: auto-mTLS uses the PeerAuthentication of the upstream."""
    mesh.apply(peer_authentication("DISABLE"))

    assert "x-forwarded-client-cert" not in mesh.call("reviews").received["headers"]


# AuthorizationPolicy


def test_policy_affects_open_mesh_connection_at_once(mesh: Mesh) -> None:
    with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
        assert connection.get().status == 200
        mesh.apply(NOTHING)
        assert status_and_reason(connection.get()) == DENIED
        mesh.apply("")
        assert connection.get().status == 200
        assert connection.is_unchanged


def test_policy_affects_open_plaintext_connection_at_once(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200
        mesh.apply(NOTHING)
        assert status_and_reason(connection.get()) == DENIED
        assert connection.is_unchanged


def test_allow_nothing_rejects_direct_calls_to_every_workload(mesh: Mesh) -> None:
    mesh.apply(NOTHING)

    for workload in mesh.topology.workloads:
        if workload.sidecar:
            with contextlib.closing(mesh.direct(workload.name)) as connection:
                assert status_and_reason(connection.get()) == DENIED


def test_policy_allows_only_its_principal(mesh: Mesh) -> None:
    mesh.apply(NOTHING + allowed("ratings", BY_REVIEWS))

    assert mesh.call("ratings", caller="reviews-v1-1").status == 200
    assert status_and_reason(mesh.call("ratings", caller="productpage-v1-1")) == DENIED
    with contextlib.closing(mesh.direct("ratings-v1-1")) as connection:
        assert status_and_reason(connection.get()) == DENIED


def test_policy_distinguishes_methods_and_paths(mesh: Mesh) -> None:
    operation = "{operation: {methods: [GET], paths: [/reviews/*], notPaths: [/reviews/secret]}}"
    mesh.apply(allowed("reviews", f"rules: [{{to: [{operation}]}}]"))

    assert mesh.call("reviews", "/reviews/0").status == 200
    assert status_and_reason(mesh.call("reviews", "/reviews/0", method="POST")) == DENIED
    assert status_and_reason(mesh.call("reviews", "/other")) == DENIED
    assert status_and_reason(mesh.call("reviews", "/reviews/secret")) == DENIED


def test_deny_policy_precedes_allow_policy(mesh: Mesh) -> None:
    """Istio: DENY policies are evaluated before ALLOW policies."""
    everything = "rules: [{}]"
    denied = "rules: [{to: [{operation: {paths: [/admin]}}]}]"
    mesh.apply(allowed("reviews", everything, "all") + allowed("reviews", denied, "admin", "DENY"))

    assert mesh.call("reviews", "/").status == 200
    assert status_and_reason(mesh.call("reviews", "/admin")) == DENIED


def test_deny_policy_alone_allows_all_other_requests(mesh: Mesh) -> None:
    mesh.apply(allowed("reviews", "rules: [{from: [{source: {notNamespaces: [default]}}]}]", action="DENY"))

    assert mesh.call("reviews").status == 200
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert status_and_reason(connection.get()) == DENIED


@pytest.mark.parametrize(
    ("condition", "verdicts"),
    [
        ("{key: 'request.headers[x-key]', values: [open]}", (200, 403)),
        ("{key: 'request.headers[x-key]', notValues: [open]}", (403, 200)),
        ("{key: source.principal, values: ['*/sa/bookinfo-productpage']}", (200, 200)),
        ("{key: source.namespace, values: [default]}", (200, 200)),
        ("{key: source.serviceAccount, values: [bookinfo-productpage]}", (200, 200)),
        ("{key: source.ip, values: [10.0.0.0/8]}", (403, 403)),
        ("{key: source.ip, values: [127.0.0.0/8]}", (200, 200)),
        ("{key: destination.port, values: ['9080']}", (200, 200)),
        ("{key: destination.port, values: ['9081']}", (403, 403)),
    ],
)
def test_when_condition_decides(mesh: Mesh, condition: str, verdicts: tuple[int, int]) -> None:
    mesh.apply(allowed("reviews", f"rules: [{{when: [{condition}]}}]"))

    assert tuple(mesh.call("reviews", x_key=key).status for key in ("open", "shut")) == verdicts


# RequestAuthentication


class Tokens:
    """An issuer of tokens."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "kid": "k",
            "alg": "RS256",
            "n": _encoded(numbers.n.to_bytes(256, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }
        self.jwks = json.dumps({"keys": [key]})

    def token(self, **claims: Any) -> str:
        content = {"iss": ISSUER, "sub": "ann", "exp": int(time.time()) + 600, **claims}
        head, body = (_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k"}, content))
        signature = self._key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"Bearer {head}.{body}.{_encoded(signature)}"

    def required_by(self, app: str, namespace: str = "default") -> str:
        return (
            "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
            f"metadata: {{name: tokens, namespace: {namespace}}}\n"
            f"spec: {{selector: {{matchLabels: {app}}}, jwtRules: [{{issuer: '{ISSUER}', jwks: '{self.jwks}'}}]}}\n"
        )


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


GROUP = (
    f"rules: [{{from: [{{source: {{requestPrincipals: ['{ISSUER}/*']}}}}], "
    "when: [{key: 'request.auth.claims[groups]', values: [staff]}]}]"
)


def test_missing_token_is_accepted_but_invalid_token_is_rejected(mesh: Mesh, tokens: Tokens) -> None:
    """Istio: RequestAuthentication alone accepts requests without a token."""
    with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
        assert connection.get(authorization="Bearer nonsense").status == 200
        mesh.apply(tokens.required_by("{app: reviews}"))

        assert connection.get().status == 200
        assert connection.get(authorization="Bearer nonsense").status == 401
        assert connection.get(authorization=tokens.token(exp=1)).status == 401
        assert connection.get(authorization=Tokens().token()).status == 401
        assert connection.get(authorization=tokens.token()).status == 200
        assert connection.is_unchanged


def test_claims_decide_access(mesh: Mesh, tokens: Tokens) -> None:
    mesh.apply(tokens.required_by("{app: reviews}") + allowed("reviews", GROUP))

    assert status_and_reason(mesh.call("reviews")) == DENIED
    assert status_and_reason(mesh.call("reviews", authorization=tokens.token())) == DENIED
    assert status_and_reason(mesh.call("reviews", authorization=tokens.token(groups=["guests"]))) == DENIED
    assert mesh.call("reviews", authorization=tokens.token(groups=["guests", "staff"])).status == 200
    assert mesh.call("reviews", authorization=tokens.token(groups="staff")).status == 200


def test_validated_token_is_not_forwarded(mesh: Mesh, tokens: Tokens) -> None:
    """Istio: forwardOriginalToken is false by default."""
    mesh.apply(tokens.required_by("{app: reviews}"))

    assert "authorization" not in mesh.call("reviews", authorization=tokens.token()).received["headers"]


def test_gateway_can_require_tokens(mesh: Mesh, tokens: Tokens) -> None:
    policy = allowed("gateway", GROUP).replace("{app: gateway}", "{istio: ingressgateway}")
    mesh.apply(
        tokens.required_by("{istio: ingressgateway}", "istio-system")
        + policy.replace("{name: gateway}", "{name: gateway, namespace: istio-system}")
    )

    assert status_and_reason(mesh.request_gateway()) == DENIED
    assert mesh.request_gateway(authorization="Bearer nonsense").status == 401
    assert mesh.request_gateway(authorization=tokens.token(groups=["staff"])).status == 200
