"""Makes istio/security/gateway-jwt.yaml and the tokens beside it anew: `.venv/bin/python lab/tools/make_tokens.py`.

The tokens are public on purpose, so that everybody can try the rule. The private keys are never written: nobody, the
authors included, can make another token that the manifest takes. See RFC 7515 (JWS), 7517 (JWK), 7519 (JWT).
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SECURITY = Path(__file__).resolve().parents[2] / "istio/security"
ISSUER = "https://tokens.bookinfo.example"
KEY_ID = "bookinfo-1"
LATER = int(datetime(2125, 1, 1, tzinfo=UTC).timestamp())
EARLIER = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())

TOKENS: Mapping[str, Mapping[str, object]] = {
    "reader": {"sub": "reader", "groups": ["readers"], "exp": LATER},
    "visitor": {"sub": "visitor", "groups": ["visitors"], "exp": LATER},
    "expired": {"sub": "reader", "groups": ["readers"], "exp": EARLIER},
}
FORGED = "forged"  # as reader's, signed by somebody else

MANIFEST = """\
# Wants a token for the API at the gateway: none, or one of the wrong group, is answered 403, and a bad one 401.
# The pages stay open to everybody. tokens/ holds tokens to try it with.
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata:
  name: bookinfo-tokens
  namespace: istio-system
spec:
  selector:
    matchLabels:
      istio: ingressgateway
  jwtRules:
    - issuer: {issuer}
      jwks: |
        {jwks}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: api-for-readers
  namespace: istio-system
spec:
  selector:
    matchLabels:
      istio: ingressgateway
  action: ALLOW
  rules:
    - to:
        - operation:
            notPaths: ["/api/*"]
    - from:
        - source:
            requestPrincipals: ["{issuer}/*"]
      to:
        - operation:
            methods: [GET]
            paths: ["/api/*"]
      when:
        - key: request.auth.claims[groups]
          values: [readers]
"""


def main() -> None:
    """Write all of it."""
    key, stranger = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    (SECURITY / "gateway-jwt.yaml").write_text(MANIFEST.format(issuer=ISSUER, jwks=json.dumps(_key_set(key))))
    tokens = SECURITY / "tokens"
    tokens.mkdir(exist_ok=True)
    for name, claims in TOKENS.items():
        (tokens / f"{name}.jwt").write_text(_signed(claims, key) + "\n")
    (tokens / f"{FORGED}.jwt").write_text(_signed(TOKENS["reader"], stranger) + "\n")


def _key_set(key: rsa.RSAPrivateKey) -> dict[str, object]:
    numbers = key.public_key().public_numbers()
    modulus, exponent = (_encoded(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
    return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": modulus, "e": exponent}]}


def _signed(claims: Mapping[str, object], key: rsa.RSAPrivateKey) -> str:
    header = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}
    parts = [header, {"iss": ISSUER, "iat": EARLIER - 86400, **claims}]
    message = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{message}.{_encoded(key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
