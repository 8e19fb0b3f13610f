"""Scenario: tokens at the gateway."""

from bookinfo_lab.scenarios.claims import Every
from bookinfo_lab.scenarios.definitions.parts import ANYBODY, pages
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Mesh, Observation, Scenario, Step, Traffic


def _products(token: str = "") -> Traffic:
    path = f"istio/security/tokens/{token}.jwt" if token else ""
    return Traffic(ANYBODY, "/api/v1/products", count=5, token=path)


SCENARIO = Scenario(
    name="tokens",
    title="Tokens: who the user is",
    teaches="How to let the gateway check JSON Web Tokens, and what a missing, a bad and a good one lead to.",
    text="""\
A RequestAuthentication tells the gateway whose tokens to believe, and with which key they are signed. It refuses bad
tokens, but lets requests without a token pass: demanding one is the business of an AuthorizationPolicy.

The tokens in istio/security/tokens are public on purpose.""",
    steps=(
        Step(
            title="The API wants a token",
            text="""\
Without a token the API answers 403: who asks is known to be nobody. A token that is expired, or signed by somebody
else, is answered 401: who asks is not known. With a token of the group `readers` the answer is 200, and with one of
another group 403 again. The pages stay open to everybody.""",
            apply=("istio/security/gateway-jwt.yaml",),
            observations=(
                Observation(_products(), shows=(Every(Answered(403)),)),
                Observation(_products("forged"), shows=(Every(Answered(401)),)),
                Observation(_products("expired"), shows=(Every(Answered(401)),)),
                Observation(_products("visitor"), shows=(Every(Answered(403)),)),
                Observation(_products("reader"), keeps=(Every(Answered(200)),)),
                Observation(pages(10), keeps=(Every(Answered(200)),)),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR, Mesh.AMBIENT, Mesh.L4),
    more="`python lab/tools/make_tokens.py` makes the manifest and the tokens anew; their private key is never kept.",
)
