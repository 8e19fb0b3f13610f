"""Scenario: trying a version on real requests."""

from bookinfo_lab.scenarios.claims import Counts, Every, No
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, STARS, VERSIONS, pages, served_by, to
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Counter, Observation, Scenario, Step

PAGES = pages(60)


def mirrored(manifest: str, to_v2: Counter) -> Step:
    """The step, where `to_v2` counts what productpage's sidecar sends to reviews v2."""
    return Step(
        title="v1 answers, v2 listens",
        text="Everybody sees reviews v1, without stars. v2 gets each request as well.",
        apply=(manifest,),
        observations=(
            Observation(
                PAGES,
                shows=(
                    Counts(to_v2, "requests sent to v2", None, None),
                    Counts(served_by("reviews-v2"), "requests served", None, None),
                    Counts(served_by("ratings-v1"), "requests served", None, None),
                ),
                keeps=(No(STARS), Every(Answered(200))),
            ),
        ),
    )


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
        mirrored(
            "istio/mirroring/reviews-v1-mirror-v2.yaml",
            to("productpage-v1", "reviews", "upstream_rq_total", subset="v2"),
        ),
    ),
)
