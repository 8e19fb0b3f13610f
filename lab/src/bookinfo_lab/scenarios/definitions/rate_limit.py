"""Scenario: a local rate limit."""

from bookinfo_lab.scenarios.claims import Every, StatusSequence
from bookinfo_lab.scenarios.definitions.shared import CLIENT, CLIENT_POD
from bookinfo_lab.scenarios.matchers import HasHeader, HasStatus
from bookinfo_lab.scenarios.model import Mesh, Observation, Scenario, Step, Traffic

SCENARIO = Scenario(
    name="rate-limit",
    title="Rate limit: four requests per minute",
    teaches="Protect a service from too many requests in its own sidecar.",
    text="""\
A token bucket contains four tokens and is refilled every minute. Each request takes one token. Without a token the
sidecar responds with 429, and the service does not receive the request. This is a local rate limit: each instance
counts separately, and no other component is involved.
""",
    setup=(CLIENT_POD,),
    steps=(
        Step(
            title="Limit productpage to four requests per minute",
            text="The first four requests succeed. The others are rejected.",
            apply=("istio/rate-limit/productpage-4-a-minute.yaml",),
            observations=(
                Observation(
                    Traffic(CLIENT, "http://productpage:9080/productpage", count=7),
                    effects=(StatusSequence((200, 200, 200, 200, 429, 429, 429)),),
                ),
                Observation(
                    Traffic(CLIENT, "http://productpage:9080/health", count=2),
                    effects=(Every(HasStatus(429)), Every(HasHeader("x-local-rate-limit", "true"))),
                ),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR,),  # an EnvoyFilter applies to sidecars and gateways
    further_reading="""\
A global limit, shared by all instances, requires a rate limit service (envoyproxy/ratelimit) that the proxies call for
each request. `istio/rate-limit/global/` contains it, for a cluster.""",
)
