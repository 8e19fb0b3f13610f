"""Scenario: injected delays and errors."""

from bookinfo_lab.scenarios.claims import Every, NoneOf, Share
from bookinfo_lab.scenarios.definitions.shared import (
    ALL_V1,
    ANYONE,
    JASON,
    NO_DETAILS,
    NO_RATINGS,
    NO_REVIEWS,
    STARS,
    VERSIONS,
    pages,
)
from bookinfo_lab.scenarios.matchers import HasStatus, Takes
from bookinfo_lab.scenarios.model import Observation, Scenario, Step, Traffic

AS_JASON = pages(4, JASON)
OTHERS = pages(20)
MANY = pages(200, concurrency=40)
FEW = pages(40)

SCENARIO = Scenario(
    name="fault-injection",
    title="Fault injection: delays and errors",
    teaches="Find out how the application handles a slow or failing service before its users do.",
    text="""\
The mesh can delay or abort requests, for example for one user, without a change to any service. The caller's sidecar
injects the fault, so the called service does not receive an aborted request.

In this scenario jason's requests go to reviews v2, which calls ratings. Other users are not affected.""",
    setup=(VERSIONS, ALL_V1, "istio/routing/reviews-jason-v2.yaml"),
    steps=(
        Step(
            title="Delay ratings for jason",
            text="""\
Each of jason's requests to ratings is delayed by 7 s. reviews waits up to 10 s for ratings, so you might expect a slow
but complete page. Instead the page arrives after about 6 s without reviews, because productpage waits 3 s for reviews
and tries twice. Each timeout is reasonable, but they do not fit together. The injected delay reveals this bug.

reviews v3 waits only 2.5 s for ratings. With v3 the page shows the reviews, without stars.""",
            apply=("istio/faults/ratings-delay-jason.yaml",),
            observations=(
                Observation(
                    AS_JASON, effects=(Every(Takes(5.8, 8.0)), Every(NO_REVIEWS)), invariants=(Every(HasStatus(200)),)
                ),
                Observation(OTHERS, invariants=(Every(Takes(0, 2.0)), NoneOf(NO_REVIEWS))),
            ),
        ),
        Step(
            title="Abort requests to ratings for jason",
            text="""\
Each of jason's requests to ratings gets the response 500. reviews handles this: the page arrives at once and shows the
reviews without stars.""",
            apply=("istio/faults/ratings-abort-jason.yaml",),
            observations=(
                Observation(
                    AS_JASON,
                    effects=(Every(Takes(0, 2.0)), Every(NO_RATINGS)),
                    invariants=(Every(HasStatus(200)), NoneOf(STARS)),
                ),
                Observation(OTHERS, invariants=(NoneOf(NO_RATINGS),)),
            ),
        ),
        Step(
            title="Delay 60 % of the requests to ratings",
            text="All requests to reviews go to v2, and six of ten requests to ratings are delayed by 2 s.",
            apply=("istio/routing/reviews-v2.yaml", "istio/faults/ratings-delay-60.yaml"),
            observations=(
                Observation(
                    MANY,
                    effects=(Share(Takes(2.0), 60, percent_without_rule=0),),
                    invariants=(Every(HasStatus(200)), NoneOf(NO_REVIEWS)),
                ),
            ),
        ),
        Step(
            title="Abort half of the requests to ratings",
            text="Half of the pages have no stars.",
            apply=("istio/faults/ratings-abort-50.yaml",),
            observations=(
                Observation(
                    MANY, effects=(Share(NO_RATINGS, 50, percent_without_rule=0),), invariants=(Every(HasStatus(200)),)
                ),
            ),
        ),
        Step(
            title="Abort all requests to ratings",
            text="No page has stars.",
            apply=("istio/faults/ratings-abort-100.yaml",),
            observations=(Observation(FEW, effects=(Every(NO_RATINGS), NoneOf(STARS))),),
        ),
        Step(
            title="Abort requests to details with status 555",
            text="""\
555 is not a standard status, so it can only come from the mesh. The API returns it to the client. The page shows an
error in place of the details, with status 200.""",
            apply=("istio/faults/details-abort-555.yaml",),
            observations=(
                Observation(Traffic(ANYONE, "/api/v1/products/0", count=10), effects=(Every(HasStatus(555)),)),
                Observation(FEW, effects=(Every(NO_DETAILS),), invariants=(Every(HasStatus(200)),)),
            ),
        ),
    ),
    further_reading="""\
The timeout of a route does not include a delay that is injected on the same route: see the scenario timeouts.""",
)
