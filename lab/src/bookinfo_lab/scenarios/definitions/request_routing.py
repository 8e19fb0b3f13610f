"""Scenario: who is answered by which version."""

from bookinfo_lab.scenarios.claims import Every, No
from bookinfo_lab.scenarios.definitions.parts import (
    ALL_V1,
    BLACK_STARS,
    JASON,
    RED_STARS,
    STARS,
    VERSIONS,
    pages,
)
from bookinfo_lab.scenarios.matchers import Answered, ServedBy
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
    title="Traffic shaping: who sees which version",
    teaches="How a VirtualService chooses a version by what a request says: nothing, the user, the browser.",
    text="""\
A VirtualService replaces the even spread by a decision of your own, taken for every single request in the sidecar of
the caller. It can look at everything that the request carries. productpage passes the signed-in user on in the header
`end-user` and the browser's `user-agent`, so reviews can be chosen by either.""",
    given=(VERSIONS,),
    steps=(
        Step(
            title="Everybody to v1",
            text="Each service has one version from now on: reviews v1, so there are no stars.",
            apply=(ALL_V1,),
            observations=(
                Observation(pages(60), shows=(No(STARS), Every(ServedBy("reviews-v1"))), keeps=(Every(Answered(200)),)),
            ),
        ),
        Step(
            title="jason to v2",
            text="Sign in as `jason` (any password will do): black stars. Everybody else goes on seeing none.",
            apply=("istio/routing/reviews-jason-v2.yaml",),
            observations=(
                Observation(pages(30, JASON), shows=(Every(BLACK_STARS), Every(ServedBy("reviews-v2")))),
                Observation(pages(60), shows=(No(STARS),), against="baseline"),
            ),
        ),
        Step(
            title="By browser",
            text="""\
Firefox sees black stars, Chrome red ones, all others none. The rules are tried in their order, and the first that
matches wins: Edge calls itself Chrome as well, so the rule that sends it to v1 stands before Chrome's.""",
            apply=("istio/routing/reviews-by-browser.yaml",),
            observations=(
                Observation(pages(20, FIREFOX), shows=(Every(BLACK_STARS),)),
                Observation(pages(20, CHROME), shows=(Every(RED_STARS),)),
                Observation(pages(40, EDGE), shows=(No(STARS),), against="baseline"),
                Observation(pages(40, SAFARI), shows=(No(STARS),), against="baseline"),
            ),
        ),
        Step(
            title="Everybody to v3",
            text="One version for all again: red stars.",
            apply=("istio/routing/reviews-v3.yaml",),
            observations=(Observation(pages(60), shows=(Every(RED_STARS), Every(ServedBy("reviews-v3")))),),
        ),
    ),
    more="`bookinfo config productpage-v1` shows the routes that productpage's Envoy has made of it.",
)
