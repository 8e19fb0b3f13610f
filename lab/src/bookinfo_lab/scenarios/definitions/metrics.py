"""Scenario: metrics of proxies and services."""

from bookinfo_lab.scenarios.claims import CounterIncrease, Every
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, CLIENT_POD, NO_RATINGS, VERSIONS, outbound, pages
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Counter, Observation, ScaledDeployment, Scenario, Step

PAGES = pages(60)

SCENARIO = Scenario(
    name="metrics",
    title="Metrics: find a failure in the numbers",
    teaches="Learn which metrics proxies and services provide, and where a failure appears in them.",
    text="""\
Each proxy counts the requests that it sends and receives, per service. Each service counts the requests that it
serves. All callers see a failure. The component that counts it shows where it occurred.""",
    setup=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml", CLIENT_POD),
    steps=(
        Step(
            title="Abort half of the requests to ratings",
            text="""\
The caller's sidecar injects the fault, so the sidecar of reviews counts it. The metrics of ratings only show half as
many requests.""",
            apply=("istio/faults/ratings-abort-50.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        CounterIncrease(
                            Counter("reviews-v2", r"http\.outbound.*\.fault\.aborts_injected"),
                            "aborted requests",
                            minimum=10,
                        ),
                    ),
                    invariants=(
                        CounterIncrease(
                            outbound("productpage-v1", "reviews", "upstream_rq_2xx"),
                            "2xx responses from reviews",
                            None,
                            None,
                        ),
                    ),
                ),
            ),
        ),
        Step(
            title="Stop ratings",
            text="""\
Without an instance of ratings, the sidecar of reviews responds with 503, `no healthy upstream`, and counts these
requests.""",
            apply=(ALL_V1, "istio/routing/reviews-v2.yaml", ScaledDeployment("ratings-v1", 0)),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        CounterIncrease(
                            outbound("reviews-v2", "ratings", "upstream_cx_none_healthy"),
                            "requests without a healthy upstream",
                            None,
                        ),
                        Every(NO_RATINGS),
                    ),
                ),
            ),
        ),
        Step(
            title="Read the service's own metrics",
            text="""\
productpage counts the results of its calls by service and status in `request_result_total` on `/metrics`. In this step
the mesh responds to requests to details with 555.""",
            apply=(ScaledDeployment("ratings-v1", 1), "istio/faults/details-abort-555.yaml"),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        CounterIncrease(
                            Counter(
                                "productpage-v1",
                                r'request_result_total\{destination_app="details",response_code="555"\}',
                                application=True,
                            ),
                            "requests to details with status 555",
                            None,
                            None,
                        ),
                    ),
                    invariants=(Every(HasStatus(200)),),
                ),
            ),
        ),
    ),
    further_reading="""\
`bookinfo proxy reviews-v2 /stats?usedonly` prints a proxy's statistics, and `/stats/prometheus` prints them for
Prometheus.""",
)
