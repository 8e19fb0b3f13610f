"""Scenario: the routes of the other scenarios by the Gateway API. Its steps are theirs, with other manifests."""

from dataclasses import replace

from bookinfo_lab.scenarios.claims import Counts, Every
from bookinfo_lab.scenarios.definitions import canary, mirroring, request_routing, timeouts
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, CLIENT, CLIENT_POD, VERSIONS, served_by, to
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Manifest, Observation, Scenario, Step, Traffic

FOLDER = "istio/gateway-api"
GATEWAY = "http://bookinfo-gateway-istio"
"""The Service that Istio makes for the Gateway."""

SOME = replace(canary.MANY, count=400)
"""Enough where the shares before are far from those after."""


def _steps(scenario: Scenario) -> list[Step]:
    return [replace(step, apply=tuple(map(_counterpart, step.apply))) for step in scenario.steps]


def _counterpart(manifest: Manifest) -> Manifest:
    """The manifest of the same name. What is no route stays Istio's: the Gateway API injects no faults."""
    if not isinstance(manifest, str) or "delay" in manifest:
        return manifest
    return f"{FOLDER}/{manifest.rpartition('/')[2]}"


_EVERYBODY, _JASON, _BROWSER, _RED = _steps(request_routing.SCENARIO)
_BUT_JASON = _steps(canary.SCENARIO)[-1]
_SLOW, _LIMITED = _steps(timeouts.SCENARIO)

SCENARIO = Scenario(
    name="gateway-api",
    title="The Gateway API: the same by Kubernetes' own means",
    teaches="How to write gateways and routes so that any mesh understands them, and where their rules are others.",
    text="""\
What the scenarios on routing, canaries, mirroring and time limits do by Istio's own API can be said by the Gateway API,
which other meshes and ingress controllers speak too. An HTTPRoute that names a Gateway as its parent is for what comes
from outside; one that names a Service is for calls within the mesh. It chooses among Services, not among subsets, so
each version has a Service of its own: kubernetes/version-services.yaml.

| | VirtualService | HTTPRoute |
| --- | --- | --- |
| which rule is tried first | the one that stands first | the most specific: exact path, longest prefix, headers |
| prefix `/static` | also `/staticx` | `/static` and what is below it |
| a backend that does not exist | 503 (the lab refuses it) | 500, for its share of the requests |
| a weight of 0 for all | refused | 500 |
| several objects for one host | one holds (the lab refuses two) | they are merged |
| faults, circuit breaking, outlier detection | yes, with DestinationRule | no |""",
    given=(VERSIONS, CLIENT_POD, "kubernetes/version-services.yaml"),
    without=(ALL_V1,),
    steps=(
        Step(
            title="The way in",
            text="""\
For each Gateway Istio runs a proxy with a Service and an identity of its own, here `bookinfo-gateway-istio`. In the lab
that is one more Envoy, and `bookinfo status` tells where the browser finds it; `client` calls it by its Service.

A prefix is one of whole path elements, so `/staticx` ends at the gateway and productpage never sees it.""",
            apply=(f"{FOLDER}/gateway.yaml",),
            observations=(
                Observation(Traffic(CLIENT, f"{GATEWAY}/productpage", count=10), shows=(Every(Answered(200)),)),
                Observation(
                    Traffic(CLIENT, f"{GATEWAY}/staticx", count=10),
                    shows=(Every(Answered(404)),),
                    keeps=(Counts(served_by("productpage-v1"), "requests served", 0, 0),),
                ),
            ),
        ),
        replace(_EVERYBODY, text="An HTTPRoute for each Service, with one backend: reviews v1, so there are no stars."),
        replace(
            mirroring.mirrored(
                f"{FOLDER}/reviews-v1-mirror-v2.yaml",
                to("productpage-v1", "reviews-v2", "upstream_rq_total", subset=""),
            ),
            text="A filter of the route sends a copy of each request to reviews v2. Everybody sees v1, without stars.",
        ),
        replace(
            _JASON,
            text="""\
jason sees black stars. The rule that asks for a header goes before the one that asks for nothing, in whichever order
they are written.""",
        ),
        replace(
            _BROWSER,
            text="""\
Firefox sees black stars, Chrome red ones, all others none. Edge calls itself Chrome as well. Each rule asks for one
header, so none is more specific, and then their order decides: Edge's stands before Chrome's.""",
        ),
        _RED,
        replace(
            canary.shared(
                "10 %",
                "The canary, reviews v2, gets a tenth. The routes of the other services can go: they changed nothing.",
                f"{FOLDER}/reviews-90-10.yaml",
                "reviews-v2",
                percent=10,
                before=(0, 0),
                traffic=SOME,
            ),
            delete=(f"{FOLDER}/all-v1.yaml",),
        ),
        canary.finished(f"{FOLDER}/reviews-100-v2.yaml", SOME),
        canary.shared(
            "The next one: half",
            "v3 gets half of the requests beside v1.",
            f"{FOLDER}/reviews-50-v3.yaml",
            "reviews-v3",
            percent=50,
            before=(0, 0),
            traffic=SOME,
        ),
        canary.shared(
            "Back, and on with 20 %",
            "v3 was no good, so v2 it is, with a fifth.",
            f"{FOLDER}/reviews-80-20.yaml",
            "reviews-v2",
            percent=20,
            before=(0, 50),
            traffic=SOME,
        ),
        _BUT_JASON,
        replace(
            _SLOW,
            text="""\
Every call of ratings takes 2 s, and so does the page. The delay is a VirtualService's: the Gateway API has no faults.
It may stand beside an HTTPRoute as long as they are for different hosts.""",
            apply=(f"{FOLDER}/reviews-v2.yaml", *_SLOW.apply),
        ),
        replace(
            _LIMITED,
            text="""\
productpage's sidecar gives reviews 500 ms (a duration here is written in whole numbers) and then answers 504 in its
place. The page comes after about 1 s: productpage tries reviews twice.""",
        ),
    ),
    more="""\
The differences between the two are those of the specification; the lab holds each of them by a test on a real Envoy.
What the lab does not implement, such as TLS passthrough and `retry`, it refuses by name.""",
)
