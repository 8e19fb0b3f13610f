"""The project's manifests that no scenario applies, on real Envoys."""

import time
from pathlib import Path
from typing import Any

Mesh = Any  # tests/lab/proxies/conftest.py: MeshOnTheWire

ISTIO = Path(__file__).parents[3] / "istio"
PLAINTEXT_ONLY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ratings}
spec: {selector: {matchLabels: {app: ratings}}, mtls: {mode: DISABLE}}
"""


def manifests(*names: str) -> str:
    return "\n---\n".join((ISTIO / name).read_text() for name in names)


def test_one_version_for_all_is_v1(mesh: Mesh) -> None:
    assert mesh.calls(40, "reviews").keys() == {"reviews-v1-1", "reviews-v2-1"}

    mesh.apply(manifests("gateway/destination-rules.yaml", "routing/reviews-v1.yaml"))

    assert mesh.calls(40, "reviews") == {"reviews-v1-1": 40}


def test_callers_that_demand_mutual_tls_do_not_fall_back_to_plaintext(mesh: Mesh) -> None:
    mesh.apply(manifests("gateway/destination-rules-mtls.yaml"))
    assert mesh.call("ratings").status == 200

    mesh.apply(f"{manifests('gateway/destination-rules-mtls.yaml')}\n---\n{PLAINTEXT_ONLY}")
    assert mesh.call("ratings").status == 503

    mesh.apply(f"{manifests('gateway/destination-rules.yaml')}\n---\n{PLAINTEXT_ONLY}")
    assert mesh.call("ratings").status == 200


def test_errors_alone_are_logged(mesh: Mesh) -> None:
    mesh.apply(manifests("telemetry/access-log-errors.yaml"))

    mesh.call("reviews", "/all-is-well")
    mesh.call("reviews", "/status/503")

    deadline = time.monotonic() + 15
    while "/status/503" not in mesh.log("productpage-v1-1"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "/all-is-well" not in mesh.log("productpage-v1-1")


def test_the_public_books_are_known_and_called_by_tls(mesh: Mesh) -> None:
    """Without the internet they give no answer; what the mesh does about that host is seen all the same."""
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
