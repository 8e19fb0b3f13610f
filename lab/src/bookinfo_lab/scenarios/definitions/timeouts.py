"""Scenario: a timeout for a slow service."""

from bookinfo_lab.scenarios.claims import Every, NoneOf
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, BLACK_STARS, NO_REVIEWS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import HasStatus, Takes
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(8, concurrency=8)

SCENARIO = Scenario(
    name="timeouts",
    title="Timeouts: stop waiting for a slow service",
    teaches="Keep a slow service from making its callers slow.",
    text="""\
By default Istio sets no timeout: it waits as long as the caller does. In this scenario all requests to reviews go to
v2, which shows black stars.""",
    setup=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml"),
    steps=(
        Step(
            title="Delay ratings",
            text="Each request to ratings takes 2 s, and so does the page: reviews waits for ratings.",
            apply=("istio/timeouts/ratings-delay-2s.yaml",),
            observations=(
                Observation(
                    PAGES, effects=(Every(Takes(2.0, 3.0)),), invariants=(Every(BLACK_STARS), Every(HasStatus(200)))
                ),
            ),
        ),
        Step(
            title="Set a timeout for reviews",
            text="""\
productpage's sidecar waits 0.5 s for reviews and then responds with 504. The page arrives after about 1 s, because
productpage tries twice. It shows neither reviews nor stars, but it is served.

The timeout is set on reviews and the delay on ratings, because the timeout of a route does not include a delay that is
injected on the same route.""",
            apply=("istio/timeouts/reviews-500ms.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(Every(Takes(1.0, 1.9)), Every(NO_REVIEWS), NoneOf(BLACK_STARS)),
                    invariants=(Every(HasStatus(200)),),
                ),
            ),
        ),
    ),
    further_reading="The timeout includes all retries of the route.",
)
