"""Manifests of istio/ that no scenario applies, on real Envoys."""

import time
from pathlib import Path
from typing import Any

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

ISTIO = Path(__file__).parents[3] / "istio"
PLAINTEXT_ONLY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ratings}
spec: {selector: {matchLabels: {app: ratings}}, mtls: {mode: DISABLE}}
"""


def manifests(*names: str) -> str:
    return "\n---\n".join((ISTIO / name).read_text() for name in names)


def test_reviews_v1_manifest_routes_all_requests_to_v1(mesh: Mesh) -> None:
    assert mesh.calls(40, "reviews").keys() == {"reviews-v1-1", "reviews-v2-1"}

    mesh.apply(manifests("gateway/destination-rules.yaml", "routing/reviews-v1.yaml"))

    assert mesh.calls(40, "reviews") == {"reviews-v1-1": 40}


def test_required_mutual_tls_does_not_fall_back_to_plaintext(mesh: Mesh) -> None:
    mesh.apply(manifests("gateway/destination-rules-mtls.yaml"))
    assert mesh.call("ratings").status == 200

    mesh.apply(f"{manifests('gateway/destination-rules-mtls.yaml')}\n---\n{PLAINTEXT_ONLY}")
    assert mesh.call("ratings").status == 503

    mesh.apply(f"{manifests('gateway/destination-rules.yaml')}\n---\n{PLAINTEXT_ONLY}")
    assert mesh.call("ratings").status == 200


def test_only_errors_are_logged(mesh: Mesh) -> None:
    mesh.apply(manifests("telemetry/access-log-errors.yaml"))

    mesh.call("reviews", "/all-is-well")
    mesh.call("reviews", "/status/503")

    deadline = time.monotonic() + 15
    while "/status/503" not in mesh.log("productpage-v1-1"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "/all-is-well" not in mesh.log("productpage-v1-1")


def test_google_apis_manifest_originates_tls(mesh: Mesh) -> None:
    """The host is unreachable without internet access, but the test can check its cluster and the status."""
    assert mesh.call("www.googleapis.com", port=80).status == 502

    mesh.apply(manifests("egress/google-apis.yaml"))

    (cluster,) = [
        cluster
        for cluster in mesh.configs["productpage-v1-1"].clusters
        if cluster["name"] == "outbound|80||www.googleapis.com"
    ]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert endpoint == {"address": "www.googleapis.com", "port_value": 443}
    assert cluster["transport_socket"]["typed_config"]["sni"] == "www.googleapis.com"
    assert mesh.call("www.googleapis.com", port=80).status != 502
