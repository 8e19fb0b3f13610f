"""Who may call whom, on real Envoys; connections are kept open across each change."""

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

Mesh = Any  # tests/lab/proxies/conftest.py: MeshOnTheWire

DENIED = (403, "RBAC: access denied")
REFUSED = (OSError, http.client.HTTPException)
ISSUER = "https://tokens.example"


def peers(mode: str, more: str = "") -> str:
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


def verdict(answer: Any) -> tuple[int, str]:
    return answer.status, answer.body if answer.status == 403 else ""


# Identity


def test_sidecars_speak_mutual_tls_and_tell_the_application_who_called(mesh: Mesh) -> None:
    """Istio: auto-mTLS; the inbound sidecar appends x-forwarded-client-cert (APPEND_FORWARD)."""
    told = mesh.call("reviews").seen["headers"]["x-forwarded-client-cert"]

    assert "URI=spiffe://cluster.local/ns/default/sa/bookinfo-productpage" in told


def test_a_caller_without_a_sidecar_cannot_claim_an_identity(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        answer = connection.get(x_forwarded_client_cert="URI=spiffe://cluster.local/ns/default/sa/bookinfo-productpage")

    assert "x-forwarded-client-cert" not in answer.seen["headers"]


def test_a_workload_without_a_sidecar_is_called_in_plaintext(mesh: Mesh) -> None:
    assert mesh.call("plain").seen["name"] == "plain-v1-1"


def test_a_destination_rule_can_switch_mutual_tls_off(mesh: Mesh) -> None:
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\n"
        "spec: {host: reviews, trafficPolicy: {tls: {mode: DISABLE}}}"
    )

    assert "x-forwarded-client-cert" not in mesh.call("reviews").seen["headers"]


def test_a_server_header_is_the_meshs_and_never_the_applications(mesh: Mesh) -> None:
    """Istio: OVERWRITE; `envoy` towards a sidecar's own application, `istio-envoy` towards anybody else."""
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().headers["server"] == "istio-envoy"
    assert mesh.call("reviews").headers["server"] == "envoy"
    assert mesh.enter().headers["server"] == "istio-envoy"


# The gateway believes nothing


def test_the_gateway_says_itself_how_a_request_came(mesh: Mesh) -> None:
    seen = mesh.enter(x_forwarded_proto="https", x_forwarded_client_cert="URI=spiffe://x").seen["headers"]

    assert seen["x-forwarded-proto"] == "http"
    assert "spiffe://x" not in seen["x-forwarded-client-cert"]


def test_a_request_from_outside_cannot_steer_the_gateway(mesh: Mesh) -> None:
    """Envoy obeys x-envoy-* headers of internal addresses; here every caller counts as external."""
    assert mesh.enter("/sleep/0.2", x_envoy_upstream_rq_timeout_ms="1").status == 200


def test_a_request_id_is_kept_or_made(mesh: Mesh) -> None:
    assert mesh.enter(x_request_id="mine").seen["headers"]["x-request-id"] == "mine"
    assert mesh.enter().seen["headers"]["x-request-id"]


# PeerAuthentication


def test_strict_refuses_plaintext_at_every_workload(mesh: Mesh) -> None:
    mesh.apply(peers("STRICT"))

    for workload in mesh.topology.workloads:
        if workload.sidecar:
            with contextlib.closing(mesh.direct(workload.name)) as connection, pytest.raises(REFUSED):
                connection.get()
    assert mesh.call("reviews").status == 200


def test_strict_reaches_a_plaintext_connection_that_is_open(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200
        mesh.apply(peers("STRICT"))
        try:
            answer = connection.get()
        except REFUSED:
            return  # closed: refused as well
        assert connection.still_the_first
        assert verdict(answer) == DENIED


def test_strict_and_back_loses_no_request_of_the_mesh(mesh: Mesh) -> None:
    failures: list[str] = []
    done = False

    def load() -> None:
        with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
            while not done:
                answer = connection.get()
                if answer.status != 200:
                    failures.append(f"{answer.status} {answer.body}")

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load) for _ in range(2)]
        for mode in ("STRICT", "PERMISSIVE") * 4:
            mesh.apply(peers(mode))
        done = True
        for item in loads:
            item.result()

    assert failures == []


def test_a_port_level_mode_goes_before_the_workloads(mesh: Mesh) -> None:
    """Istio: ComposePeerAuthentication."""
    mesh.apply(
        peers("STRICT").replace("name: default", "name: reviews").replace(
            "spec: {", "spec: {selector: {matchLabels: {app: reviews}}, portLevelMtls: {9080: {mode: PERMISSIVE}}, "
        ).replace("9080:", "'9080':")
    )  # fmt: skip

    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200


def test_callers_follow_a_workload_that_takes_no_mutual_tls(mesh: Mesh) -> None:
    """Istio: auto-mTLS looks at the called side's PeerAuthentication."""
    mesh.apply(peers("DISABLE"))

    assert "x-forwarded-client-cert" not in mesh.call("reviews").seen["headers"]


# AuthorizationPolicy


def test_a_policy_reaches_an_open_connection_of_the_mesh_at_once(mesh: Mesh) -> None:
    with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
        assert connection.get().status == 200
        mesh.apply(NOTHING)
        assert verdict(connection.get()) == DENIED
        mesh.apply("")
        assert connection.get().status == 200
        assert connection.still_the_first


def test_a_policy_reaches_an_open_plaintext_connection_at_once(mesh: Mesh) -> None:
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert connection.get().status == 200
        mesh.apply(NOTHING)
        assert verdict(connection.get()) == DENIED
        assert connection.still_the_first


def test_allow_nothing_refuses_a_direct_call_of_every_workload(mesh: Mesh) -> None:
    mesh.apply(NOTHING)

    for workload in mesh.topology.workloads:
        if workload.sidecar:
            with contextlib.closing(mesh.direct(workload.name)) as connection:
                assert verdict(connection.get()) == DENIED


def test_an_edge_is_open_to_its_principal_alone(mesh: Mesh) -> None:
    mesh.apply(NOTHING + allowed("ratings", BY_REVIEWS))

    assert mesh.call("ratings", caller="reviews-v1-1").status == 200
    assert verdict(mesh.call("ratings", caller="productpage-v1-1")) == DENIED
    with contextlib.closing(mesh.direct("ratings-v1-1")) as connection:
        assert verdict(connection.get()) == DENIED


def test_methods_and_paths_are_told_apart(mesh: Mesh) -> None:
    operation = "{operation: {methods: [GET], paths: [/reviews/*], notPaths: [/reviews/secret]}}"
    mesh.apply(allowed("reviews", f"rules: [{{to: [{operation}]}}]"))

    assert mesh.call("reviews", "/reviews/0").status == 200
    assert verdict(mesh.call("reviews", "/reviews/0", method="POST")) == DENIED
    assert verdict(mesh.call("reviews", "/other")) == DENIED
    assert verdict(mesh.call("reviews", "/reviews/secret")) == DENIED


def test_what_is_denied_stays_denied_when_something_allows_it(mesh: Mesh) -> None:
    """Istio: DENY policies are asked before ALLOW ones."""
    everything = "rules: [{}]"
    denied = "rules: [{to: [{operation: {paths: [/admin]}}]}]"
    mesh.apply(allowed("reviews", everything, "all") + allowed("reviews", denied, "admin", "DENY"))

    assert mesh.call("reviews", "/").status == 200
    assert verdict(mesh.call("reviews", "/admin")) == DENIED


def test_a_deny_policy_alone_leaves_the_rest_open(mesh: Mesh) -> None:
    mesh.apply(allowed("reviews", "rules: [{from: [{source: {notNamespaces: [default]}}]}]", action="DENY"))

    assert mesh.call("reviews").status == 200
    with contextlib.closing(mesh.direct("reviews-v1-1")) as connection:
        assert verdict(connection.get()) == DENIED


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
def test_a_condition_decides(mesh: Mesh, condition: str, verdicts: tuple[int, int]) -> None:
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

    def wanted_by(self, app: str, namespace: str = "default") -> str:
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


def test_a_token_is_not_needed_but_a_bad_one_is_refused(mesh: Mesh, tokens: Tokens) -> None:
    """Istio: RequestAuthentication alone lets requests without a token through."""
    with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
        assert connection.get(authorization="Bearer nonsense").status == 200
        mesh.apply(tokens.wanted_by("{app: reviews}"))

        assert connection.get().status == 200
        assert connection.get(authorization="Bearer nonsense").status == 401
        assert connection.get(authorization=tokens.token(exp=1)).status == 401
        assert connection.get(authorization=Tokens().token()).status == 401
        assert connection.get(authorization=tokens.token()).status == 200
        assert connection.still_the_first


def test_claims_decide_who_is_let_in(mesh: Mesh, tokens: Tokens) -> None:
    mesh.apply(tokens.wanted_by("{app: reviews}") + allowed("reviews", GROUP))

    assert verdict(mesh.call("reviews")) == DENIED
    assert verdict(mesh.call("reviews", authorization=tokens.token())) == DENIED
    assert verdict(mesh.call("reviews", authorization=tokens.token(groups=["guests"]))) == DENIED
    assert mesh.call("reviews", authorization=tokens.token(groups=["guests", "staff"])).status == 200
    assert mesh.call("reviews", authorization=tokens.token(groups="staff")).status == 200


def test_a_verified_token_does_not_travel_on(mesh: Mesh, tokens: Tokens) -> None:
    """Istio: forwardOriginalToken is false by default."""
    mesh.apply(tokens.wanted_by("{app: reviews}"))

    assert "authorization" not in mesh.call("reviews", authorization=tokens.token()).seen["headers"]


def test_the_gateway_wants_tokens_too(mesh: Mesh, tokens: Tokens) -> None:
    policy = allowed("gateway", GROUP).replace("{app: gateway}", "{istio: ingressgateway}")
    mesh.apply(
        tokens.wanted_by("{istio: ingressgateway}", "istio-system")
        + policy.replace("{name: gateway}", "{name: gateway, namespace: istio-system}")
    )

    assert verdict(mesh.enter()) == DENIED
    assert mesh.enter(authorization="Bearer nonsense").status == 401
    assert mesh.enter(authorization=tokens.token(groups=["staff"])).status == 200
