"""Scenario: who may call whom."""

from bookinfo_lab.scenarios.claims import Every, No
from bookinfo_lab.scenarios.definitions.parts import (
    ANYBODY,
    CLIENT_POD,
    NO_RATINGS,
    PAGE,
    RED_STARS,
    VERSIONS,
    calls_of_ratings,
    pages,
)
from bookinfo_lab.scenarios.matchers import Answered, Showing
from bookinfo_lab.scenarios.model import Observation, Scenario, Step, Traffic

DENIED = Showing("RBAC: access denied")
PAGES = pages(10)
POST = Traffic(ANYBODY, PAGE, method="POST", count=5)

SCENARIO = Scenario(
    name="authorization",
    title="Authorization: who may call whom",
    teaches="How to forbid every call and then allow what is needed, one edge of the graph at a time.",
    text="""\
Mutual TLS tells a sidecar who calls; an AuthorizationPolicy tells it who may. As soon as one policy allows something,
all that none allows is forbidden: the answer is 403, `RBAC: access denied`, from the sidecar of the called service.

Everybody is sent to reviews v3, and mutual TLS is demanded.""",
    given=(VERSIONS, CLIENT_POD, "istio/routing/reviews-v3.yaml", "istio/security/mtls-strict.yaml"),
    steps=(
        Step(
            title="Nothing is allowed",
            text="A policy without rules allows nothing. The gateway cannot even call productpage.",
            apply=("istio/security/allow-nothing.yaml",),
            observations=(
                Observation(PAGES, shows=(Every(Answered(403)), Every(DENIED))),
                Observation(calls_of_ratings(5), shows=(Every(Answered(403)),)),
            ),
        ),
        Step(
            title="Everyone may read productpage",
            text="""\
The page comes, with a hole for each service that productpage may not call. Reading is all that is allowed: another
method is still forbidden.""",
            apply=("istio/security/allow-everyone-to-productpage.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Every(Answered(200)),
                        Every(Showing("Error fetching product details")),
                        Every(Showing("Error fetching product reviews")),
                    ),
                ),
                Observation(POST, shows=(Every(Answered(403)),), against="baseline"),
            ),
        ),
        Step(
            title="productpage may read details",
            text="The details are there.",
            apply=("istio/security/allow-productpage-to-details.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(Every(Showing("PublisherA")), No(Showing("Error fetching product details"))),
                    keeps=(Every(Showing("Error fetching product reviews")),),
                ),
            ),
        ),
        Step(
            title="productpage may read reviews",
            text="So are the reviews, without their stars: reviews may not call ratings.",
            apply=("istio/security/allow-productpage-to-reviews.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(Every(Showing("Book Reviews")), Every(NO_RATINGS)),
                ),
            ),
        ),
        Step(
            title="reviews may read ratings",
            text="The page is whole. Nobody else may call ratings, and nothing else is open.",
            apply=("istio/security/allow-reviews-to-ratings.yaml",),
            observations=(
                Observation(PAGES, shows=(Every(RED_STARS), No(NO_RATINGS))),
                Observation(calls_of_ratings(5), shows=(Every(Answered(403)), Every(DENIED)), against="baseline"),
            ),
        ),
    ),
    more="The identities are service accounts: `bookinfo describe reviews-v3` shows the one of a workload.",
)
