"""Scenario: JSON Web Tokens at the gateway."""

from bookinfo_lab.scenarios.claims import Every
from bookinfo_lab.scenarios.definitions.shared import ANYONE, pages
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Mesh, Observation, Scenario, Step, Traffic


def _products(token: str = "") -> Traffic:
    path = f"istio/security/tokens/{token}.jwt" if token else ""
    return Traffic(ANYONE, "/api/v1/products", count=5, token=path)


SCENARIO = Scenario(
    name="tokens",
    title="Tokens: authenticate users",
    teaches="Validate JSON Web Tokens at the gateway, and see the responses to missing, invalid and valid tokens.",
    text="""\
A RequestAuthentication defines which issuers the gateway trusts, and the keys that sign their tokens. The gateway
rejects invalid tokens, but accepts requests without a token. An AuthorizationPolicy requires one.

The tokens in istio/security/tokens are public on purpose.""",
    steps=(
        Step(
            title="Require a token for the API",
            text="""\
Without a token the API responds with 403. A token that is expired or has an unknown signer gets 401. A token of the
group `readers` gets 200, and a token of another group gets 403. The pages need no token.""",
            apply=("istio/security/gateway-jwt.yaml",),
            observations=(
                Observation(_products(), effects=(Every(HasStatus(403)),)),
                Observation(_products("forged"), effects=(Every(HasStatus(401)),)),
                Observation(_products("expired"), effects=(Every(HasStatus(401)),)),
                Observation(_products("visitor"), effects=(Every(HasStatus(403)),)),
                Observation(_products("reader"), invariants=(Every(HasStatus(200)),)),
                Observation(pages(10), invariants=(Every(HasStatus(200)),)),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR, Mesh.AMBIENT, Mesh.L4),
    further_reading="""\
`python lab/tools/make_tokens.py` regenerates the manifest and the tokens. It does not store their private key.""",
)
