"""Scenario: connection pool limits."""

from bookinfo_lab.scenarios.claims import CounterMatches, Every, ShareBetween
from bookinfo_lab.scenarios.definitions.shared import CLIENT_POD, VERSIONS, outbound, ratings_requests
from bookinfo_lab.scenarios.matchers import AllOf, HasHeader, HasStatus
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

OVERFLOW = outbound("client", "ratings", "upstream_rq_pending_overflow")

SCENARIO = Scenario(
    name="circuit-breaking",
    title="Circuit breaking: fail fast instead of waiting",
    teaches="Limit the connections and pending requests to a service, so that load cannot pile up.",
    text="""\
A service with more requests than it can handle becomes slow, its callers wait, and finally all services wait. A
circuit breaker prevents this: the caller's own sidecar immediately rejects requests above a limit. The service can
finish its work, and the caller can respond without waiting.

`client` is a pod that calls ratings directly.""",
    setup=(VERSIONS, CLIENT_POD),
    steps=(
        Step(
            title="One connection, one pending request",
            text="""\
Of 20 concurrent requests, most find the only connection in use and the only pending slot taken. The caller's sidecar
responds to them with 503 and counts them in `upstream_rq_pending_overflow`. Sequential requests all succeed.""",
            apply=("istio/circuit-breaking/ratings-connection-pool.yaml",),
            observations=(
                Observation(
                    ratings_requests(200, concurrency=20),
                    effects=(
                        ShareBetween(AllOf(HasStatus(503), HasHeader("x-envoy-overloaded", "true")), 10, 99),
                        CounterMatches(OVERFLOW, "rejected requests", HasStatus(503)),
                    ),
                    invariants=(ShareBetween(HasStatus(200), 1, 100),),
                ),
                Observation(ratings_requests(20), invariants=(Every(HasStatus(200)),)),
            ),
        ),
    ),
    further_reading="""\
In a cluster each sidecar counts separately, so the total limit is multiplied by the number of callers. To exclude a
failing instance, see the scenario outlier-detection.""",
)
