"""Scenario: what is left of the page when a service is gone. It needs no mesh."""

from bookinfo_lab.scenarios.claims import Every, No
from bookinfo_lab.scenarios.definitions.parts import ANYBODY, JASON, NO_DETAILS, NO_REVIEWS, pages
from bookinfo_lab.scenarios.matchers import Answered, Showing
from bookinfo_lab.scenarios.model import Mesh, Observation, Scaled, Scenario, Step, Traffic

PAGES = pages(20)
WHOLE = Every(Answered(200))

SCENARIO = Scenario(
    name="degradation",
    title="Degradation: a page that is always there",
    teaches="What the application does by itself when a part of it is missing, with a mesh or without.",
    text="""\
Before a mesh can help, an application must cope: the page is there whatever becomes of the services behind it, and says
what is missing. Nothing but Kubernetes is needed for that.""",
    meshes=tuple(Mesh),
    steps=(
        Step(
            title="details is gone",
            text="The page has no details and says so; the reviews are there as before.",
            apply=(Scaled("details-v1", 0),),
            observations=(
                Observation(PAGES, shows=(Every(NO_DETAILS),), keeps=(WHOLE, Every(Showing("Book Reviews")))),
            ),
        ),
        Step(
            title="ratings is gone",
            text="The reviews come without stars, from whichever version; v2 and v3 say that ratings is missing.",
            apply=(Scaled("details-v1", 1), Scaled("ratings-v1", 0)),
            observations=(
                Observation(PAGES, shows=(No(NO_DETAILS),), keeps=(WHOLE, Every(Showing("Book Reviews")))),
                Observation(
                    Traffic(ANYBODY, "/api/v1/products/0/ratings", count=10),
                    shows=(Every(Showing("Sorry, product ratings are currently unavailable for this book.")),),
                ),
            ),
        ),
        Step(
            title="All of reviews is gone",
            text="The page is still there, and its sign-in works.",
            apply=(
                Scaled("ratings-v1", 1),
                Scaled("reviews-v1", 0),
                Scaled("reviews-v2", 0),
                Scaled("reviews-v3", 0),
            ),
            observations=(
                Observation(PAGES, shows=(Every(NO_REVIEWS),), keeps=(WHOLE, Every(Showing("PublisherA")))),
                Observation(pages(5, JASON), keeps=(WHOLE, Every(Showing("jason")))),
            ),
        ),
    ),
    more="How the mesh keeps a slow or failing service from getting this far is what the next lessons are about.",
)
