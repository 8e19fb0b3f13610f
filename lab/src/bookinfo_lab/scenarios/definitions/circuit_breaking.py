"""Scenario: a limit on what a service is asked."""

from bookinfo_lab.scenarios.claims import Between, CountsEach, Every
from bookinfo_lab.scenarios.definitions.parts import CLIENT_POD, VERSIONS, calls_of_ratings, to
from bookinfo_lab.scenarios.matchers import Answered, Both, Carrying
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

OVERFLOW = to("client", "ratings", "upstream_rq_pending_overflow")

SCENARIO = Scenario(
    name="circuit-breaking",
    title="Circuit breaking: failing at once instead of waiting",
    teaches="How to keep load from piling up at a service.",
    text="""\
A service that gets more than it can do becomes slow, its callers wait, and soon everything waits. A circuit breaker
ends that: what goes beyond a limit is refused at once, in the caller's own sidecar. The service is left to do what it
can, and the caller can do something better than wait.

`client` is a pod that calls ratings itself.""",
    given=(VERSIONS, CLIENT_POD),
    steps=(
        Step(
            title="One connection, one waiting request",
            text="""\
With 20 requests at once most find the only connection busy and the only place in the queue taken. The caller's sidecar
answers those 503 and counts them: `upstream_rq_pending_overflow`. One after the other all pass.""",
            apply=("istio/circuit-breaking/ratings-connection-pool.yaml",),
            observations=(
                Observation(
                    calls_of_ratings(200, concurrency=20),
                    shows=(
                        Between(Both(Answered(503), Carrying("x-envoy-overloaded", "true")), 10, 99),
                        CountsEach(OVERFLOW, "requests that overflowed", Answered(503)),
                    ),
                    keeps=(Between(Answered(200), 1, 100),),
                ),
                Observation(calls_of_ratings(20), keeps=(Every(Answered(200)),)),
            ),
        ),
    ),
    more="""\
The limits of a cluster are as many times higher as there are callers: each sidecar counts for itself. The other half of
circuit breaking is to leave out an instance that fails: see the scenario outlier-detection.""",
)
