"""Scenario: failures on purpose."""

from bookinfo_lab.scenarios.claims import Every, No, Share
from bookinfo_lab.scenarios.definitions.parts import (
    ALL_V1,
    ANYBODY,
    JASON,
    NO_DETAILS,
    NO_RATINGS,
    NO_REVIEWS,
    STARS,
    VERSIONS,
    pages,
)
from bookinfo_lab.scenarios.matchers import Answered, Taking
from bookinfo_lab.scenarios.model import Observation, Scenario, Step, Traffic

AS_JASON = pages(4, JASON)
OTHERS = pages(20)
MANY = pages(200, concurrency=40)
FEW = pages(40)

SCENARIO = Scenario(
    name="fault-injection",
    title="Fault injection: failures on purpose",
    teaches="How to find out, before the users do, what happens when a service is slow or fails.",
    text="""\
The mesh can hold up or fail calls on purpose, for a single user, without a change of any service. The calling side's
sidecar does it: the called service never sees an aborted request.

jason is sent to reviews v2, which asks ratings; nobody else is touched.""",
    given=(VERSIONS, ALL_V1, "istio/routing/reviews-jason-v2.yaml"),
    steps=(
        Step(
            title="ratings is slow for jason",
            text="""\
Every call of ratings takes 7 s when the user is jason. reviews would wait 10 s for it, so the page should be slow and
whole. It is not: it comes after about 6 s and without reviews. productpage gives reviews 3 s, and tries it twice. The
two time limits, each sensible by itself, do not fit: that is the mistake that the delay has found.

reviews v3 waits only 2.5 s for ratings: with it the reviews stay, and the stars are missing.""",
            apply=("istio/faults/ratings-delay-jason.yaml",),
            observations=(
                Observation(
                    AS_JASON, shows=(Every(Taking(5.8, 8.0)), Every(NO_REVIEWS)), keeps=(Every(Answered(200)),)
                ),
                Observation(OTHERS, keeps=(Every(Taking(0, 2.0)), No(NO_REVIEWS))),
            ),
        ),
        Step(
            title="ratings fails for jason",
            text="""\
Every call of ratings is answered 500 when the user is jason. This reviews can cope with: the page comes at once, with
the reviews and without their stars.""",
            apply=("istio/faults/ratings-abort-jason.yaml",),
            observations=(
                Observation(
                    AS_JASON, shows=(Every(Taking(0, 2.0)), Every(NO_RATINGS)), keeps=(Every(Answered(200)), No(STARS))
                ),
                Observation(OTHERS, keeps=(No(NO_RATINGS),)),
            ),
        ),
        Step(
            title="60 % of the calls are slow, whoever calls",
            text="Everybody is sent to reviews v2, and six of ten calls of ratings take 2 s.",
            apply=("istio/routing/reviews-v2.yaml", "istio/faults/ratings-delay-60.yaml"),
            observations=(
                Observation(
                    MANY, shows=(Share(Taking(2.0), 60, otherwise=0),), keeps=(Every(Answered(200)), No(NO_REVIEWS))
                ),
            ),
        ),
        Step(
            title="Half of the calls fail",
            text="Half of the pages lack their stars.",
            apply=("istio/faults/ratings-abort-50.yaml",),
            observations=(
                Observation(MANY, shows=(Share(NO_RATINGS, 50, otherwise=0),), keeps=(Every(Answered(200)),)),
            ),
        ),
        Step(
            title="All calls fail",
            text="All pages do.",
            apply=("istio/faults/ratings-abort-100.yaml",),
            observations=(Observation(FEW, shows=(Every(NO_RATINGS), No(STARS))),),
        ),
        Step(
            title="details fails, with a status that nobody else gives",
            text="""\
555 is no status of HTTP: whoever sees it knows that it is the mesh's doing. The API passes it on; the page says what is
missing, and is still a page.""",
            apply=("istio/faults/details-abort-555.yaml",),
            observations=(
                Observation(Traffic(ANYBODY, "/api/v1/products/0", count=10), shows=(Every(Answered(555)),)),
                Observation(FEW, shows=(Every(NO_DETAILS),), keeps=(Every(Answered(200)),)),
            ),
        ),
    ),
    more="A fault is injected before the timeout of the same route begins: see the scenario timeouts.",
)
