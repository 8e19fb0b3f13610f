"""Scenario: routing by request properties."""

from bookinfo_lab.scenarios.claims import Every, NoneOf
from bookinfo_lab.scenarios.definitions.shared import (
    ALL_V1,
    BLACK_STARS,
    JASON,
    RED_STARS,
    STARS,
    VERSIONS,
    pages,
)
from bookinfo_lab.scenarios.matchers import HasStatus, ServedBy
from bookinfo_lab.scenarios.model import Browser, Observation, Scenario, Step

FIREFOX = Browser(brand="Firefox", agent="Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0")
CHROME = Browser(
    brand="Chrome",
    agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
)
EDGE = Browser(
    brand="Edge",
    agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    "Safari/537.36 Edg/142.0.0.0",
)
SAFARI = Browser(
    brand="Safari",
    agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Safari/605.1.15",
)

SCENARIO = Scenario(
    name="request-routing",
    title="Request routing: choose a version by request",
    teaches="Route requests to versions with a VirtualService: all requests, by user, and by browser.",
    text="""\
A VirtualService replaces the default load balancing by your own rules. The caller's sidecar evaluates them for each
request. A rule can match any property of a request. productpage forwards the signed-in user in the header `end-user`,
and the browser's `user-agent`, so requests to reviews can be routed by either.""",
    setup=(VERSIONS,),
    steps=(
        Step(
            title="All users to v1",
            text="Each service has one version. All requests to reviews go to v1, so there are no stars.",
            apply=(ALL_V1,),
            observations=(
                Observation(
                    pages(60),
                    effects=(NoneOf(STARS), Every(ServedBy("reviews-v1"))),
                    invariants=(Every(HasStatus(200)),),
                ),
            ),
        ),
        Step(
            title="jason to v2",
            text="Sign in as `jason`, with any password: the page shows black stars. Other users still see none.",
            apply=("istio/routing/reviews-jason-v2.yaml",),
            observations=(
                Observation(pages(30, JASON), effects=(Every(BLACK_STARS), Every(ServedBy("reviews-v2")))),
                Observation(pages(60), effects=(NoneOf(STARS),), contrast_with="baseline"),
            ),
        ),
        Step(
            title="Route by browser",
            text="""\
Firefox users see black stars, Chrome users see red stars, and all others see none. Rules are evaluated in order, and
the first match wins. Edge's User-Agent header contains Chrome as well, so the rule that routes Edge to v1 precedes the
rule for Chrome.""",
            apply=("istio/routing/reviews-by-browser.yaml",),
            observations=(
                Observation(pages(20, FIREFOX), effects=(Every(BLACK_STARS),)),
                Observation(pages(20, CHROME), effects=(Every(RED_STARS),)),
                Observation(pages(40, EDGE), effects=(NoneOf(STARS),), contrast_with="baseline"),
                Observation(pages(40, SAFARI), effects=(NoneOf(STARS),), contrast_with="baseline"),
            ),
        ),
        Step(
            title="All users to v3",
            text="All requests to reviews go to v3: red stars.",
            apply=("istio/routing/reviews-v3.yaml",),
            observations=(Observation(pages(60), effects=(Every(RED_STARS), Every(ServedBy("reviews-v3")))),),
        ),
    ),
    further_reading="`bookinfo config productpage-v1` prints the routes in the configuration of productpage's Envoy.",
)
