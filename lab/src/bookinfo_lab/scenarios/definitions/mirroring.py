"""Scenario: mirrored requests."""

from bookinfo_lab.scenarios.claims import CounterIncrease, Every, NoneOf
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, STARS, VERSIONS, outbound, pages, served_by
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Counter, Observation, Scenario, Step

PAGES = pages(60)


def mirrored(manifest: str, to_v2: Counter) -> Step:
    """The step that mirrors requests. `to_v2` counts the requests that productpage's sidecar sends to reviews v2."""
    return Step(
        title="Mirror requests from v1 to v2",
        text="All users see reviews v1, without stars. v2 receives a copy of each request.",
        apply=(manifest,),
        observations=(
            Observation(
                PAGES,
                effects=(
                    CounterIncrease(to_v2, "requests sent to v2", None, None),
                    CounterIncrease(served_by("reviews-v2"), "inbound requests", None, None),
                    CounterIncrease(served_by("ratings-v1"), "inbound requests", None, None),
                ),
                invariants=(NoneOf(STARS), Every(HasStatus(200))),
            ),
        ),
    )


SCENARIO = Scenario(
    name="mirroring",
    title="Mirroring: test a version with real requests",
    teaches="Send real requests to a new version without showing its responses to users.",
    text="""\
A mirrored request is sent twice: to the version that responds to the caller, and to the mirror, whose response is
discarded. The caller does not wait for the mirror, so errors and delays of the new version affect no user. Side
effects still happen: reviews v2 calls ratings for every mirrored request.""",
    setup=(VERSIONS, ALL_V1),
    steps=(
        mirrored(
            "istio/mirroring/reviews-v1-mirror-v2.yaml",
            outbound("productpage-v1", "reviews", "upstream_rq_total", subset="v2"),
        ),
    ),
)
