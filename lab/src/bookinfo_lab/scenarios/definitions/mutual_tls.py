"""Scenario: required mutual TLS."""

from bookinfo_lab.scenarios.claims import CounterIncrease, Every
from bookinfo_lab.scenarios.definitions.shared import CLIENT, CLIENT_PLAIN, CLIENT_POD, pages
from bookinfo_lab.scenarios.matchers import ConnectionFailed, HasStatus
from bookinfo_lab.scenarios.model import Counter, Mesh, Observation, Scenario, Step, Traffic

PATHS = {
    "productpage": "/health",
    "details": "/details/0",
    "reviews": "/reviews/0",
    "ratings": "/ratings/0",
}


def _from_outside_the_mesh(service: str, path: str) -> Traffic:
    return Traffic(CLIENT_PLAIN, f"http://{service}:9080{path}", count=5)


SCRAPED = CounterIncrease(
    Counter("details-v1", r"http_requests_total\{.*", application=True),
    "requests in the application metrics, read without a certificate",
    minimum=20,
)

SCENARIO = Scenario(
    name="mutual-tls",
    title="Mutual TLS: require a certificate",
    teaches="Learn what mutual TLS provides by default, and how to require it.",
    text="""\
Each workload has a certificate for its service account. Sidecars authenticate each other with these certificates and
encrypt their traffic, without any configuration. By default a sidecar accepts plaintext too, so that workloads can
join a mesh gradually. `client-plain`, a pod without a sidecar, can therefore call all services.""",
    setup=(CLIENT_POD, "kubernetes/client-plain.yaml"),
    steps=(
        Step(
            title="Require mutual TLS",
            text="""\
Now a sidecar closes every connection without a client certificate. client-plain gets no response, not even an error.
Other callers are not affected. Metrics stay readable: each sidecar serves them in plaintext on port 15020, which leads
to nothing else.""",
            apply=("istio/security/mtls-strict.yaml",),
            observations=(
                *(
                    Observation(_from_outside_the_mesh(service, path), effects=(Every(ConnectionFailed()),))
                    for service, path in PATHS.items()
                ),
                Observation(
                    Traffic(CLIENT, "http://productpage:9080/productpage", count=10),
                    invariants=(Every(HasStatus(200)),),
                ),
                Observation(pages(20), invariants=(Every(HasStatus(200)), SCRAPED)),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR, Mesh.AMBIENT, Mesh.L4),
    further_reading="""\
In the lab any process on this machine can use a workload's outbound port and thereby its identity. The lab is for
learning and testing, not for protection. In a cluster only the pod itself can use its sidecar.""",
)
