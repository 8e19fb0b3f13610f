"""Scenario: counting what happens."""

from bookinfo_lab.scenarios.claims import Counts, Every
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, CLIENT_POD, NO_RATINGS, VERSIONS, pages, to
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Counter, Observation, Scaled, Scenario, Step

PAGES = pages(60)

SCENARIO = Scenario(
    name="metrics",
    title="Metrics: counting what happens",
    teaches="Which numbers the proxies and the services keep, and where a failure shows in them.",
    text="""\
Every proxy counts what it sends and gets, for each service that it calls, and every service counts what it is asked. A
failure is seen by whoever asked; where it is counted tells where it happened.""",
    given=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml", CLIENT_POD),
    steps=(
        Step(
            title="Half of the calls of ratings fail",
            text="""\
The failures are injected in the sidecar of reviews, so it is there that they are counted. ratings' own numbers show
nothing but half as many requests.""",
            apply=("istio/faults/ratings-abort-50.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Counts(
                            Counter("reviews-v2", r"http\.outbound.*\.fault\.aborts_injected"),
                            "calls aborted on purpose",
                            at_least=10,
                        ),
                    ),
                    keeps=(
                        Counts(
                            to("productpage-v1", "reviews", "upstream_rq_2xx"),
                            "answers 2xx from reviews",
                            None,
                            None,
                        ),
                    ),
                ),
            ),
        ),
        Step(
            title="ratings is gone",
            text="""\
With no instance left the sidecar of reviews answers 503 itself, `no healthy upstream`, and counts the calls for which
it found none.""",
            apply=(ALL_V1, "istio/routing/reviews-v2.yaml", Scaled("ratings-v1", 0)),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Counts(
                            to("reviews-v2", "ratings", "upstream_cx_none_healthy"),
                            "calls without an instance",
                            None,
                        ),
                        Every(NO_RATINGS),
                    ),
                ),
            ),
        ),
        Step(
            title="The service's own numbers",
            text="""\
productpage counts what became of its calls, by service and status: `request_result_total` on `/metrics`. Here details
is answered 555 by the mesh.""",
            apply=(Scaled("ratings-v1", 1), "istio/faults/details-abort-555.yaml"),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Counts(
                            Counter(
                                "productpage-v1",
                                r'request_result_total\{destination_app="details",response_code="555"\}',
                                application=True,
                            ),
                            "calls of details that came back as 555",
                            None,
                            None,
                        ),
                    ),
                    keeps=(Every(Answered(200)),),
                ),
            ),
        ),
    ),
    more="`bookinfo proxy reviews-v2 /stats?usedonly` shows a proxy's numbers, `/stats/prometheus` for Prometheus.",
)
