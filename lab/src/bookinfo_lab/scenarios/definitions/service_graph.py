"""Scenario: the service graph."""

from bookinfo_lab.scenarios.claims import CounterIncrease, Every
from bookinfo_lab.scenarios.definitions.shared import VERSIONS, pages, served_by
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(100)

SCENARIO = Scenario(
    name="service-graph",
    title="Service graph: see the calls between services",
    teaches="See that the statistics of the proxies are enough to draw the live service graph.",
    text="""\
The statistics of the sidecars contain every edge of the service graph: which workload calls which service, and how
often.""",
    setup=(VERSIONS,),
    steps=(
        Step(
            title="Route all requests to v2 and v3",
            text="""\
When the requests are shared between reviews v2 and v3, the edge to v1 disappears, and each page causes a request to
ratings.""",
            apply=("istio/canary/reviews-v2-v3.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        CounterIncrease(served_by("reviews-v1"), "inbound requests", 0, 0),
                        CounterIncrease(served_by("ratings-v1"), "inbound requests", None, None),
                    ),
                    invariants=(
                        CounterIncrease(served_by("reviews-v2"), "inbound requests"),
                        CounterIncrease(served_by("reviews-v3"), "inbound requests"),
                        CounterIncrease(served_by("details-v1"), "inbound requests", None, None),
                        Every(HasStatus(200)),
                    ),
                ),
            ),
        ),
    ),
    further_reading="""\
`bookinfo graph --watch` and the page at http://localhost:8081 draw the live graph. In a cluster Kiali draws it from
the same statistics.""",
)
