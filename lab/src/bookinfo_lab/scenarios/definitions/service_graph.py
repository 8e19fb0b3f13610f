"""Scenario: who calls whom."""

from bookinfo_lab.scenarios.claims import Counts, Every
from bookinfo_lab.scenarios.definitions.parts import VERSIONS, pages, served_by
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

PAGES = pages(100)

SCENARIO = Scenario(
    name="service-graph",
    title="Service graph: who calls whom",
    teaches="That the proxies' numbers are enough to draw the graph of the application, live.",
    text="""\
Nobody has to draw how the services call each other: the sidecars' numbers say it, edge by edge.""",
    given=(VERSIONS,),
    steps=(
        Step(
            title="v1 falls idle",
            text="""\
With the requests shared between reviews v2 and v3 the edge to v1 goes out, and each page now leads to a call of
ratings.""",
            apply=("istio/canary/reviews-v2-v3.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Counts(served_by("reviews-v1"), "requests served", 0, 0),
                        Counts(served_by("ratings-v1"), "requests served", None, None),
                    ),
                    keeps=(
                        Counts(served_by("reviews-v2"), "requests served"),
                        Counts(served_by("reviews-v3"), "requests served"),
                        Counts(served_by("details-v1"), "requests served", None, None),
                        Every(Answered(200)),
                    ),
                ),
            ),
        ),
    ),
    more="""\
`bookinfo graph --watch`, or the page at http://localhost:8081, draws the graph while requests come. In a cluster Kiali
draws it, from the same numbers.""",
)
