"""Scenario: the application, and the way in."""

from bookinfo_lab.scenarios.claims import Between, Every
from bookinfo_lab.scenarios.definitions.parts import VERSIONS, pages
from bookinfo_lab.scenarios.matchers import Answered, ServedBy, Showing, Unanswered
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

GATEWAY = "istio/gateway/bookinfo-gateway.yaml"

SCENARIO = Scenario(
    name="get-started",
    title="Get started",
    teaches="What the application consists of, and that nothing gets in without a Gateway.",
    text="""\
Bookinfo shows one book. Its page is put together by productpage, which asks details and reviews; reviews runs in three
versions at the same time: v1 shows no stars, v2 black ones and v3 red ones, which they fetch from ratings.

Beside every instance stands an Envoy, its sidecar, through which it calls and is called, and one more stands at the
edge, the ingress gateway. At the start the gateway has no rules, so it does not even listen.""",
    without=(GATEWAY,),
    steps=(
        Step(
            title="Open the gateway",
            text="""\
A Gateway says on which port and for which hosts the gateway listens, and a VirtualService which paths lead where. Now
the page can be had. Reload it a few times: the stars come and go, because the calls of reviews are spread over its
three versions.""",
            apply=(GATEWAY,),
            observations=(
                Observation(
                    pages(300, concurrency=8),
                    shows=(
                        Every(Answered(200)),
                        Every(Showing("<title>Simple Bookstore App</title>")),
                        Between(ServedBy("reviews-v1"), 15, 55),
                        Between(ServedBy("reviews-v2"), 15, 55),
                        Between(ServedBy("reviews-v3"), 15, 55),
                    ),
                ),
            ),
        ),
        Step(
            title="Name the versions",
            text="""\
A DestinationRule gives the versions of each service names, subsets, that later rules refer to. It does not change who
is called.""",
            apply=(VERSIONS,),
            observations=(
                Observation(
                    pages(300, concurrency=8),
                    keeps=(
                        Every(Answered(200)),
                        Between(ServedBy("reviews-v1"), 15, 55),
                        Between(ServedBy("reviews-v2"), 15, 55),
                        Between(ServedBy("reviews-v3"), 15, 55),
                    ),
                ),
            ),
        ),
        Step(
            title="Close the gateway",
            text="Without its rules the gateway is a closed door again.",
            delete=(GATEWAY,),
            observations=(Observation(pages(3), shows=(Every(Unanswered()),)),),
        ),
    ),
    more="`bookinfo status` shows what runs, `bookinfo describe reviews-v1` what the lab knows of one workload.",
)
