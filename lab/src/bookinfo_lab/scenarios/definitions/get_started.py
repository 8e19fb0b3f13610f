"""Scenario: the application and its gateway."""

from bookinfo_lab.scenarios.claims import Every, ShareBetween
from bookinfo_lab.scenarios.definitions.shared import VERSIONS, pages
from bookinfo_lab.scenarios.matchers import ConnectionFailed, Contains, HasStatus, ServedBy
from bookinfo_lab.scenarios.model import Observation, Scenario, Step

GATEWAY = "istio/gateway/bookinfo-gateway.yaml"

SCENARIO = Scenario(
    name="get-started",
    title="Get started",
    teaches="Learn the parts of the application, and that no request enters the mesh without a Gateway.",
    text="""\
Bookinfo shows one book. productpage builds the page from the responses of details and reviews. Three versions of
reviews run at the same time: v1 shows no stars, v2 shows black stars and v3 red stars. v2 and v3 call ratings for the
stars.

Each instance has an Envoy as its sidecar. All requests to and from the instance pass through it. Another Envoy is the
ingress gateway. Without rules the gateway does not listen, and this scenario starts without its rules.""",
    removed=(GATEWAY,),
    steps=(
        Step(
            title="Open the gateway",
            text="""\
A Gateway resource defines on which port and for which hosts the gateway listens. A VirtualService routes paths to
services. Now the page is reachable. Reload it a few times: the stars change, because requests to reviews are
distributed over its three versions.""",
            apply=(GATEWAY,),
            observations=(
                Observation(
                    pages(300, concurrency=8),
                    effects=(
                        Every(HasStatus(200)),
                        Every(Contains("<title>Simple Bookstore App</title>")),
                        ShareBetween(ServedBy("reviews-v1"), 15, 55),
                        ShareBetween(ServedBy("reviews-v2"), 15, 55),
                        ShareBetween(ServedBy("reviews-v3"), 15, 55),
                    ),
                ),
            ),
        ),
        Step(
            title="Name the versions",
            text="""\
A DestinationRule defines subsets: names for the versions of each service, to which later rules refer. It does not
change the routing.""",
            apply=(VERSIONS,),
            observations=(
                Observation(
                    pages(300, concurrency=8),
                    invariants=(
                        Every(HasStatus(200)),
                        ShareBetween(ServedBy("reviews-v1"), 15, 55),
                        ShareBetween(ServedBy("reviews-v2"), 15, 55),
                        ShareBetween(ServedBy("reviews-v3"), 15, 55),
                    ),
                ),
            ),
        ),
        Step(
            title="Close the gateway",
            text="Without its rules the gateway does not listen.",
            delete=(GATEWAY,),
            observations=(Observation(pages(3), effects=(Every(ConnectionFailed()),)),),
        ),
    ),
    further_reading="`bookinfo status` prints what is running. `bookinfo describe reviews-v1` describes one workload.",
)
