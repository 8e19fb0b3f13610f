"""Scenario: giving up in time."""

from bookinfo_lab.scenarios.claims import Every, No
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, BLACK_STARS, NO_REVIEWS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import Answered, Taking
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(8, concurrency=8)

SCENARIO = Scenario(
    name="timeouts",
    title="Timeouts: giving up in time",
    teaches="How to keep a slow service from making its callers slow.",
    text="""\
Istio waits for an answer as long as the caller does, unless a route has a timeout. Here everybody is sent to reviews
v2, which shows black stars.""",
    given=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml"),
    steps=(
        Step(
            title="ratings becomes slow",
            text="Every call of ratings takes 2 s, and so does the page: reviews waits, and productpage with it.",
            apply=("istio/timeouts/ratings-delay-2s.yaml",),
            observations=(
                Observation(PAGES, shows=(Every(Taking(2.0, 3.0)),), keeps=(Every(BLACK_STARS), Every(Answered(200)))),
            ),
        ),
        Step(
            title="Half a second for reviews",
            text="""\
productpage's sidecar gives reviews 0.5 s and then answers 504 in its place. The page comes after about 1 s: productpage
tries reviews twice. Without stars and without reviews, but it comes.

The timeout stands on reviews and the delay on ratings on purpose: a timeout does not count a delay that is injected on
its own route.""",
            apply=("istio/timeouts/reviews-500ms.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(Every(Taking(1.0, 1.9)), Every(NO_REVIEWS), No(BLACK_STARS)),
                    keeps=(Every(Answered(200)),),
                ),
            ),
        ),
    ),
    more="The timeout is a total: with retries in the same route, all tries together have that long.",
)
