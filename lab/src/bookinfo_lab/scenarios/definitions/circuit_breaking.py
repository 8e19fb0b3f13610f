"""Scenario: a limit on what a service is asked, and its sick instances left out."""

from dataclasses import replace

from bookinfo_lab.scenarios.claims import Between, Counts, CountsEach, Every
from bookinfo_lab.scenarios.definitions.parts import CLIENT_POD, VERSIONS, calls_of_ratings, served_by, to
from bookinfo_lab.scenarios.matchers import Answered, Both, Carrying
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

AT_ONCE = calls_of_ratings(200, concurrency=20)
STEADY = calls_of_ratings(480, concurrency=4, per_second=40)
"""12 s: two good spells and two bad ones."""

OVERFLOW = to("client", "ratings", "upstream_rq_pending_overflow")
EJECTIONS = to("client", "ratings", r"outlier_detection\.ejections_enforced_total")
EJECTED = replace(to("client", "ratings", r"outlier_detection\.ejections_active"), gauge=True)

SCENARIO = Scenario(
    name="circuit-breaking",
    title="Circuit breaking: a limit, and an ejection",
    teaches="How to keep load from piling up at a service, and its callers away from an instance that fails.",
    text="""\
A circuit breaker fails a call at once instead of letting it wait. Istio has two: a limit on connections and on waiting
requests, for the service as a whole, and outlier detection, which takes a single failing instance out of use for a
while. Both act in the caller's sidecar.

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
                    AT_ONCE,
                    shows=(
                        Between(Both(Answered(503), Carrying("x-envoy-overloaded", "true")), 10, 99),
                        CountsEach(OVERFLOW, "requests that overflowed", Answered(503)),
                    ),
                    keeps=(Between(Answered(200), 1, 100),),
                ),
                Observation(calls_of_ratings(20), keeps=(Every(Answered(200)),)),
            ),
        ),
        Step(
            title="A sick instance",
            text="""\
The limit goes, and a second instance of ratings comes that works for 3 s, fails for 3 s, and so on. Without outlier
detection every other call fails in its bad spells: a quarter of all.""",
            apply=(VERSIONS, "kubernetes/ratings-spells.yaml"),
            observations=(Observation(STEADY, shows=(Between(Answered(503), 15, 40),)),),
        ),
        Step(
            title="It is ejected, and comes back",
            text="""\
After three failures in a row the instance gets no more calls for 2 s. Then it is tried again; if it still fails it is
out for twice as long. When its bad spell is over, it takes its part of the calls again. What remains are the few
failures that it takes to notice.""",
            apply=("istio/circuit-breaking/ratings-outlier-detection.yaml",),
            observations=(
                Observation(
                    STEADY,
                    shows=(
                        Between(Answered(503), 0, 12),
                        Counts(EJECTIONS, "ejections"),
                    ),
                    keeps=(
                        Counts(served_by("ratings-spells"), "requests served meanwhile", at_least=20),
                        Counts(EJECTED, "instances ejected, in the end", at_least=0, at_most=0),
                    ),
                ),
            ),
        ),
    ),
    more="`bookinfo proxy client /clusters` shows the instances that the client's Envoy knows, and which are ejected.",
)
