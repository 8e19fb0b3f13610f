"""Scenario: nobody without an identity."""

from bookinfo_lab.scenarios.claims import Counts, Every
from bookinfo_lab.scenarios.definitions.parts import CLIENT, CLIENT_PLAIN, CLIENT_POD, pages
from bookinfo_lab.scenarios.matchers import Answered, Unanswered
from bookinfo_lab.scenarios.model import Counter, Mesh, Observation, Scenario, Step, Traffic

PATHS = {
    "productpage": "/health",
    "details": "/details/0",
    "reviews": "/reviews/0",
    "ratings": "/ratings/0",
}


def _from_outside(service: str, path: str) -> Traffic:
    return Traffic(CLIENT_PLAIN, f"http://{service}:9080{path}", count=5)


SCRAPED = Counts(
    Counter("details-v1", r"http_requests_total\{.*", application=True),
    "requests in its own metrics, which a scraper without a certificate reads on",
    at_least=20,
)

SCENARIO = Scenario(
    name="mutual-tls",
    title="Mutual TLS: nobody without an identity",
    teaches="What mutual TLS gives by itself, and how to demand it.",
    text="""\
Every workload has a certificate that says as which service account it runs. Sidecars show each other theirs and encrypt
what they send, with nothing to configure. Still, by default a sidecar also takes plain text, so that a mesh can grow:
`client-plain`, a pod without a sidecar, can call everything.""",
    given=(CLIENT_POD, "kubernetes/client-plain.yaml"),
    steps=(
        Step(
            title="Only mutual TLS",
            text="""\
From now on a sidecar cuts off whoever does not show a certificate. client-plain gets no answer at all, not even an
error: there is nobody it could trust to come from the service. Everybody else notices nothing, and whoever collects
metrics goes on: each sidecar has a door of its own for that, in plain text at port 15020, which leads nowhere else.""",
            apply=("istio/security/mtls-strict.yaml",),
            observations=(
                *(
                    Observation(_from_outside(service, path), shows=(Every(Unanswered()),))
                    for service, path in PATHS.items()
                ),
                Observation(
                    Traffic(CLIENT, "http://productpage:9080/productpage", count=10), keeps=(Every(Answered(200)),)
                ),
                Observation(pages(20), keeps=(Every(Answered(200)), SCRAPED)),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR, Mesh.AMBIENT, Mesh.L4),
    more="""\
Any process on this machine can use a workload's outbound port, and so its identity: the lab teaches, it does not
protect. In a cluster a pod's sidecar is the pod's alone.""",
)
