"""Scenario: trying a version on real requests."""

from bookinfo_lab.scenarios.claims import Counts, Every, No
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, STARS, VERSIONS, pages, served_by, to
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(60)

SCENARIO = Scenario(
    name="mirroring",
    title="Mirroring: real requests, unseen answers",
    teaches="How to try a new version on what users really ask, with no user seeing its answers.",
    text="""\
A mirrored request is sent twice: to the version that answers, and, without waiting for it, to another one whose answer
is thrown away. Errors and slowness of the new version harm nobody; but what it does to others, it does: reviews v2
asks ratings for every mirrored request.""",
    given=(VERSIONS, ALL_V1),
    steps=(
        Step(
            title="v1 answers, v2 listens",
            text="Everybody sees reviews v1, without stars. v2 gets each request as well.",
            apply=("istio/mirroring/reviews-v1-mirror-v2.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Counts(
                            to("productpage-v1", "reviews", "upstream_rq_total", subset="v2"),
                            "requests sent to v2",
                            None,
                            None,
                        ),
                        Counts(served_by("reviews-v2"), "requests served", None, None),
                        Counts(served_by("ratings-v1"), "requests served", None, None),
                    ),
                    keeps=(No(STARS), Every(Answered(200))),
                ),
            ),
        ),
    ),
)
