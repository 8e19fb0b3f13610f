"""Scenario: retries on another instance."""

from bookinfo_lab.scenarios.claims import CounterIncrease, Every, NoneOf, ShareBetween
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, BLACK_STARS, NO_RATINGS, VERSIONS, outbound, pages
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(100)
RETRIED = outbound("reviews-v2", "ratings", "upstream_rq_retry_success")

SCENARIO = Scenario(
    name="retries",
    title="Retries: try another instance",
    teaches="Learn which requests Istio retries by default, and how to change that.",
    text="""\
By default Istio retries a request up to twice if the connection failed or was lost. It does not retry a response of
the service itself, such as 503.""",
    setup=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml"),
    steps=(
        Step(
            title="Add a failing instance",
            text="A second instance of ratings always responds with 503. Half of the pages have no stars.",
            apply=("kubernetes/ratings-failing.yaml",),
            observations=(
                Observation(PAGES, effects=(ShareBetween(NO_RATINGS, 20, 80),), invariants=(Every(HasStatus(200)),)),
            ),
        ),
        Step(
            title="Retry on another instance",
            text="""\
With `retryOn: 5xx`, the sidecar of reviews retries the request on an instance that it has not tried yet. Users no
longer notice the failing instance. It is visible only in the statistics.""",
            apply=("istio/retries/ratings-retry-5xx.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        NoneOf(NO_RATINGS),
                        Every(BLACK_STARS),
                        CounterIncrease(
                            RETRIED,
                            "successful retries",
                            minimum=20,
                        ),
                    ),
                ),
            ),
        ),
    ),
    further_reading="""\
Retry only requests that may be executed twice. Consider this before the mesh retries a POST. If an instance keeps
failing, outlier detection is the better solution: see outlier-detection.""",
)
