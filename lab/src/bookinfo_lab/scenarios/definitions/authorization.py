"""Scenario: authorization between workloads."""

from bookinfo_lab.scenarios.claims import Every, NoneOf
from bookinfo_lab.scenarios.definitions.shared import (
    ANYONE,
    CLIENT_POD,
    NO_RATINGS,
    PAGE,
    RED_STARS,
    VERSIONS,
    pages,
    ratings_requests,
)
from bookinfo_lab.scenarios.matchers import Contains, HasStatus
from bookinfo_lab.scenarios.model import Observation, Scenario, Step, Traffic

DENIED = Contains("RBAC: access denied")
PAGES = pages(10)
POST = Traffic(ANYONE, PAGE, method="POST", count=5)

SCENARIO = Scenario(
    name="authorization",
    title="Authorization: which workload may call which",
    teaches="Deny every request, then allow the required ones, one edge of the service graph at a time.",
    text="""\
Mutual TLS authenticates the caller. An AuthorizationPolicy decides what the caller may do. As soon as one ALLOW policy
applies to a workload, its sidecar denies every request that no policy allows: it responds with 403 and the text `RBAC:
access denied`.

In this scenario all requests to reviews go to v3, and mutual TLS is required.""",
    setup=(VERSIONS, CLIENT_POD, "istio/routing/reviews-v3.yaml", "istio/security/mtls-strict.yaml"),
    steps=(
        Step(
            title="Deny all requests",
            text="A policy without rules allows nothing. Even the gateway cannot call productpage.",
            apply=("istio/security/allow-nothing.yaml",),
            observations=(
                Observation(PAGES, effects=(Every(HasStatus(403)), Every(DENIED))),
                Observation(ratings_requests(5), effects=(Every(HasStatus(403)),)),
            ),
        ),
        Step(
            title="Allow everyone to read productpage",
            text="""\
The page is served, with an error in place of each service that productpage may not call. The policy allows only
reading: other methods are still denied.""",
            apply=("istio/security/allow-everyone-to-productpage.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        Every(HasStatus(200)),
                        Every(Contains("Error fetching product details")),
                        Every(Contains("Error fetching product reviews")),
                    ),
                ),
                Observation(POST, effects=(Every(HasStatus(403)),), contrast_with="baseline"),
            ),
        ),
        Step(
            title="Allow productpage to read details",
            text="The page shows the details.",
            apply=("istio/security/allow-productpage-to-details.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(Every(Contains("PublisherA")), NoneOf(Contains("Error fetching product details"))),
                    invariants=(Every(Contains("Error fetching product reviews")),),
                ),
            ),
        ),
        Step(
            title="Allow productpage to read reviews",
            text="The page shows the reviews, without stars, because reviews may not call ratings.",
            apply=("istio/security/allow-productpage-to-reviews.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(Every(Contains("Book Reviews")), Every(NO_RATINGS)),
                ),
            ),
        ),
        Step(
            title="Allow reviews to read ratings",
            text="The page is complete. No other workload may call ratings.",
            apply=("istio/security/allow-reviews-to-ratings.yaml",),
            observations=(
                Observation(PAGES, effects=(Every(RED_STARS), NoneOf(NO_RATINGS))),
                Observation(
                    ratings_requests(5), effects=(Every(HasStatus(403)), Every(DENIED)), contrast_with="baseline"
                ),
            ),
        ),
    ),
    further_reading="The identity of a workload is its service account: `bookinfo describe reviews-v3` prints it.",
)
