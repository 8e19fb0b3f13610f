"""Scenario: the page without one of its services. It needs no mesh."""

from bookinfo_lab.scenarios.claims import Every, NoneOf
from bookinfo_lab.scenarios.definitions.shared import ANYONE, JASON, NO_DETAILS, NO_REVIEWS, pages
from bookinfo_lab.scenarios.matchers import Contains, HasStatus
from bookinfo_lab.scenarios.model import Mesh, Observation, ScaledDeployment, Scenario, Step, Traffic

PAGES = pages(20)
SERVED = Every(HasStatus(200))

SCENARIO = Scenario(
    name="degradation",
    title="Degradation: the page works without its services",
    teaches="See how the application itself handles unavailable services, with or without a mesh.",
    text="""\
Before a mesh can help, an application must tolerate failures. productpage responds with 200 when its backends are
unavailable, and names the missing part. This requires only Kubernetes.""",
    meshes=tuple(Mesh),
    steps=(
        Step(
            title="details is unavailable",
            text="The page shows the reviews, and an error message in place of the details.",
            apply=(ScaledDeployment("details-v1", 0),),
            observations=(
                Observation(PAGES, effects=(Every(NO_DETAILS),), invariants=(SERVED, Every(Contains("Book Reviews")))),
            ),
        ),
        Step(
            title="ratings is unavailable",
            text="The page shows reviews without stars from any version. v2 and v3 report that ratings is unavailable.",
            apply=(ScaledDeployment("details-v1", 1), ScaledDeployment("ratings-v1", 0)),
            observations=(
                Observation(PAGES, effects=(NoneOf(NO_DETAILS),), invariants=(SERVED, Every(Contains("Book Reviews")))),
                Observation(
                    Traffic(ANYONE, "/api/v1/products/0/ratings", count=10),
                    effects=(Every(Contains("Sorry, product ratings are currently unavailable for this book.")),),
                ),
            ),
        ),
        Step(
            title="All versions of reviews are unavailable",
            text="The page is still served, and users can sign in.",
            apply=(
                ScaledDeployment("ratings-v1", 1),
                ScaledDeployment("reviews-v1", 0),
                ScaledDeployment("reviews-v2", 0),
                ScaledDeployment("reviews-v3", 0),
            ),
            observations=(
                Observation(PAGES, effects=(Every(NO_REVIEWS),), invariants=(SERVED, Every(Contains("PublisherA")))),
                Observation(pages(5, JASON), invariants=(SERVED, Every(Contains("jason")))),
            ),
        ),
    ),
    further_reading="The next scenarios show how a mesh limits the effect of slow or failing services.",
)
