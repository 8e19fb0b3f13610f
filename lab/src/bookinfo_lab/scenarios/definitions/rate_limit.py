"""Scenario: a limit on requests."""

from bookinfo_lab.scenarios.claims import Every, InOrder
from bookinfo_lab.scenarios.definitions.parts import CLIENT, CLIENT_POD
from bookinfo_lab.scenarios.matchers import Answered, Carrying
from bookinfo_lab.scenarios.model import Mesh, Observation, Scenario, Step, Traffic

SCENARIO = Scenario(
    name="rate-limit",
    title="Rate limit: four a minute",
    teaches="How to protect a service from too many requests, in its own sidecar.",
    text="""\
A bucket holds four tokens and is filled again every minute. A request takes one; when there is none the sidecar answers
429 in the place of the service. The limit is a local one: each instance counts for itself, and nobody has to be asked.
""",
    given=(CLIENT_POD,),
    steps=(
        Step(
            title="Four, and no more",
            text="The first four requests pass, the others do not.",
            apply=("istio/rate-limit/productpage-4-a-minute.yaml",),
            observations=(
                Observation(
                    Traffic(CLIENT, "http://productpage:9080/productpage", count=7),
                    shows=(InOrder((200, 200, 200, 200, 429, 429, 429)),),
                ),
                Observation(
                    Traffic(CLIENT, "http://productpage:9080/health", count=2),
                    shows=(Every(Answered(429)), Every(Carrying("x-local-rate-limit", "true"))),
                ),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR,),  # an EnvoyFilter is for sidecars and gateways
    more="""\
A global limit, shared by all instances, takes a rate limit service (envoyproxy/ratelimit) that every request is asked
at: `istio/rate-limit/global/`, for a cluster.""",
)
