"""Scenario: ejection of a failing instance."""

from dataclasses import replace

from bookinfo_lab.scenarios.claims import CounterIncrease, ShareBetween
from bookinfo_lab.scenarios.definitions.shared import CLIENT_POD, VERSIONS, inbound, outbound, ratings_requests
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Counter, Observation, Scenario, Step

EJECTIONS = outbound("client", "ratings", r"outlier_detection\.ejections_enforced_total")
EJECTED = replace(outbound("client", "ratings", r"outlier_detection\.ejections_active"), gauge=True)

SCENARIO = Scenario(
    name="outlier-detection",
    title="Outlier detection: eject a failing instance",
    teaches="Let callers detect a failing instance, avoid it, and try it again later.",
    text="""\
ratings has a second instance. It alternates between 3 s of normal responses and 3 s of errors, and always reports that
it is ready. Without outlier detection a quarter of all requests fail: half of the requests to this instance.""",
    setup=(VERSIONS, CLIENT_POD, "kubernetes/ratings-intermittent.yaml"),
    steps=(
        Step(
            title="Eject the instance, and try it again",
            text="""\
After three consecutive errors the caller's sidecar ejects the instance for 3 s. Then the instance receives requests
again. If it still fails, the next ejection takes twice as long. Only the few requests that detect the failure fail.
While the instance works, it serves its share of the requests.""",
            apply=("istio/circuit-breaking/ratings-outlier-detection.yaml",),
            observations=(
                # 12 s contain two working and two failing periods, wherever they begin.
                Observation(
                    ratings_requests(480, concurrency=4, per_second=40),
                    effects=(
                        ShareBetween(HasStatus(503), 0, 14),
                        CounterIncrease(EJECTIONS, "ejections"),
                    ),
                    invariants=(
                        ShareBetween(HasStatus(200), 50, 100),
                        CounterIncrease(
                            Counter("ratings-intermittent", inbound("downstream_rq_2xx")),
                            "successful requests of the intermittent instance",
                            minimum=20,
                        ),
                        CounterIncrease(EJECTED, "ejected instances at the end", minimum=0, maximum=0),
                    ),
                ),
            ),
        ),
    ),
    further_reading="""\
`bookinfo proxy client /clusters` lists the instances that the client's Envoy knows, and which are ejected.""",
)
