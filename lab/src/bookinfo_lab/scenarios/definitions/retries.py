"""Scenario: trying again elsewhere."""

from bookinfo_lab.scenarios.claims import Between, Counts, Every, No
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, BLACK_STARS, NO_RATINGS, VERSIONS, pages, to
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(100)

SCENARIO = Scenario(
    name="retries",
    title="Retries: trying again elsewhere",
    teaches="What Istio tries again by itself, what it does not, and how to change that.",
    text="""\
Istio tries a call again when the connection could not be made or was lost, up to twice. An answer is an answer,
though: a 503 that the service gave itself is passed on.""",
    given=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml"),
    steps=(
        Step(
            title="One of two instances is sick",
            text="A second instance of ratings answers 503, always. Half of the pages lack their stars.",
            apply=("kubernetes/ratings-sick.yaml",),
            observations=(Observation(PAGES, shows=(Between(NO_RATINGS, 20, 80),), keeps=(Every(Answered(200)),)),),
        ),
        Step(
            title="Try again elsewhere",
            text="""\
With `retryOn: 5xx` the sidecar of reviews calls again, at an instance that it has not tried yet. Nobody notices the
sick one any more, except in the numbers.""",
            apply=("istio/retries/ratings-retry-5xx.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        No(NO_RATINGS),
                        Every(BLACK_STARS),
                        Counts(to("reviews-v2", "ratings", "upstream_rq_retry_success"), "calls saved", at_least=20),
                    ),
                ),
            ),
        ),
    ),
    more="""\
Only what may be done twice may be retried: think before you let the mesh repeat a POST. Against an instance that stays
sick outlier detection is the better cure: see outlier-detection.""",
)
