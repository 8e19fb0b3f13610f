"""Scenario: the Gateway API. It repeats steps of other scenarios with HTTPRoutes."""

from dataclasses import replace

from bookinfo_lab.scenarios.claims import CounterIncrease, Every
from bookinfo_lab.scenarios.definitions import canary, mirroring, request_routing, timeouts
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, CLIENT, CLIENT_POD, VERSIONS, outbound, served_by
from bookinfo_lab.scenarios.matchers import HasStatus
from bookinfo_lab.scenarios.model import Manifest, Observation, Scenario, Step, Traffic

DIRECTORY = "istio/gateway-api"
GATEWAY = "http://bookinfo-gateway-istio"
"""The Service that Istio creates for the Gateway."""

FEWER = replace(canary.MANY, count=400)
"""Enough requests if the shares before and after the step differ widely."""


def _steps(scenario: Scenario) -> list[Step]:
    return [replace(step, apply=tuple(map(_counterpart, step.apply))) for step in scenario.steps]


def _counterpart(manifest: Manifest) -> Manifest:
    """Return the HTTPRoute manifest of the same name. Faults stay in Istio's API, because the Gateway API has none."""
    if not isinstance(manifest, str) or "delay" in manifest:
        return manifest
    return f"{DIRECTORY}/{manifest.rpartition('/')[2]}"


_ALL_V1, _JASON, _BROWSER, _RED = _steps(request_routing.SCENARIO)
_ALL_EXCEPT_JASON = _steps(canary.SCENARIO)[-1]
_DELAYED, _LIMITED = _steps(timeouts.SCENARIO)

SCENARIO = Scenario(
    name="gateway-api",
    title="Gateway API: routing with the Kubernetes API",
    teaches="Write gateways and routes that any mesh understands, and learn how they differ from Istio's API.",
    text="""\
The Gateway API expresses the rules of the scenarios on routing, canaries, mirroring and timeouts. Other meshes and
ingress controllers support it too. An HTTPRoute whose parent is a Gateway applies to requests from outside. An
HTTPRoute whose parent is a Service applies to requests within the mesh. It routes to Services, not to subsets, so each
version has its own Service: kubernetes/version-services.yaml.

| | VirtualService | HTTPRoute |
| --- | --- | --- |
| precedence of rules | order in the manifest | most specific first: exact path, longest prefix, headers |
| prefix `/static` | also matches `/staticx` | matches `/static` and the paths below it |
| nonexistent backend | 503 (the lab rejects it) | 500, for its share of the requests |
| weight 0 for all backends | rejected | 500 |
| several objects for one host | one applies (the lab rejects two) | they are merged |
| faults, circuit breaking, outlier detection | yes, with a DestinationRule | no |""",
    setup=(VERSIONS, CLIENT_POD, "kubernetes/version-services.yaml"),
    removed=(ALL_V1,),
    steps=(
        Step(
            title="Create a Gateway",
            text="""\
For each Gateway, Istio runs a proxy with its own Service and identity, here `bookinfo-gateway-istio`. In the lab this
is an additional Envoy. `bookinfo status` prints its URL for the browser, and `client` calls it by its Service.

A path prefix matches whole path elements, so the gateway responds to `/staticx` with 404, and productpage does not
receive the request.""",
            apply=(f"{DIRECTORY}/gateway.yaml",),
            observations=(
                Observation(Traffic(CLIENT, f"{GATEWAY}/productpage", count=10), effects=(Every(HasStatus(200)),)),
                Observation(
                    Traffic(CLIENT, f"{GATEWAY}/staticx", count=10),
                    effects=(Every(HasStatus(404)),),
                    invariants=(CounterIncrease(served_by("productpage-v1"), "inbound requests", 0, 0),),
                ),
            ),
        ),
        replace(
            _ALL_V1,
            text="Each Service has an HTTPRoute with one backend. The backend of reviews is v1, so there are no stars.",
        ),
        replace(
            mirroring.mirrored(
                f"{DIRECTORY}/reviews-v1-mirror-v2.yaml",
                outbound("productpage-v1", "reviews-v2", "upstream_rq_total", subset=""),
            ),
            text="A filter of the route mirrors each request to reviews v2. All users see v1, without stars.",
        ),
        replace(
            _JASON,
            text="""\
jason sees black stars. A rule that matches a header takes precedence over a rule without matches, independent of their
order in the manifest.""",
        ),
        replace(
            _BROWSER,
            text="""\
Firefox users see black stars, Chrome users see red stars, and all others see none. Edge's User-Agent header contains
Chrome as well. Each rule matches one header, so all rules are equally specific and their order decides. The rule for
Edge precedes the rule for Chrome.""",
        ),
        _RED,
        replace(
            canary.shared(
                "10 %",
                "The canary, reviews v2, receives a tenth. The routes of the other services are deleted.",
                f"{DIRECTORY}/reviews-90-10.yaml",
                "reviews-v2",
                percent=10,
                before=(0, 0),
                traffic=FEWER,
            ),
            delete=(f"{DIRECTORY}/all-v1.yaml",),
        ),
        canary.finished(f"{DIRECTORY}/reviews-100-v2.yaml", FEWER),
        canary.shared(
            "The next canary: 50 %",
            "v3 and v1 receive half of the requests each.",
            f"{DIRECTORY}/reviews-50-v3.yaml",
            "reviews-v3",
            percent=50,
            before=(0, 0),
            traffic=FEWER,
        ),
        canary.shared(
            "Back to the first canary: 20 %",
            "v3 failed, so v2 receives a fifth of the requests.",
            f"{DIRECTORY}/reviews-80-20.yaml",
            "reviews-v2",
            percent=20,
            before=(0, 50),
            traffic=FEWER,
        ),
        _ALL_EXCEPT_JASON,
        replace(
            _DELAYED,
            text="""\
Each request to ratings takes 2 s, and so does the page. The delay is in a VirtualService, because the Gateway API has
no fault injection. A VirtualService and an HTTPRoute can be used together if they apply to different hosts.""",
            apply=(f"{DIRECTORY}/reviews-v2.yaml", *_DELAYED.apply),
        ),
        replace(
            _LIMITED,
            text="""\
productpage's sidecar waits 500 ms for reviews and then responds with 504. (The Gateway API writes durations as whole
numbers.) The page arrives after about 1 s, because productpage tries twice.""",
        ),
    ),
    further_reading="""\
The differences in the table come from the specifications, and a test on a real Envoy covers each of them. The lab
rejects unsupported features, such as TLS passthrough and `retry`, with an error that names them.""",
)
