"""Scenario: a canary release."""

from bookinfo_lab.scenarios.claims import Every, NoneOf, Share
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, ANYONE, RED_STARS, REVIEWS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import HasStatus, ServedBy
from bookinfo_lab.scenarios.model import Observation, Scenario, Step, Traffic

MANY = Traffic(ANYONE, REVIEWS, count=1600, concurrency=8)
"""Enough requests to distinguish 10 % from 20 %."""


def shared(
    title: str,
    text: str,
    manifest: str,
    canary: str,
    percent: float,
    before: tuple[float, float],
    traffic: Traffic = MANY,
) -> Step:
    """A step in which `canary` receives `percent` of the requests, and reviews v1 the rest.

    `before` contains both shares, in percent, in the previous step.
    """
    return Step(
        title=title,
        text=text,
        apply=(manifest,),
        observations=(
            Observation(
                traffic,
                effects=(
                    Share(ServedBy(canary), percent, percent_without_rule=before[0]),
                    Share(ServedBy("reviews-v1"), 100 - percent, percent_without_rule=before[1]),
                ),
                invariants=(Every(HasStatus(200)),),
            ),
        ),
    )


def finished(manifest: str, traffic: Traffic = MANY) -> Step:
    """The step in which the canary receives all requests."""
    return Step(
        title="100 %",
        text="The release is complete: v2 serves every request. A destination with weight 0 receives none.",
        apply=(manifest,),
        observations=(
            Observation(traffic, effects=(Every(ServedBy("reviews-v2")),), invariants=(Every(HasStatus(200)),)),
        ),
    )


SCENARIO = Scenario(
    name="canary",
    title="Canary: release a version in steps",
    teaches="Route a share of the requests to a new version, increase the share, and complete the release.",
    text="""\
A new version serves few requests before it serves all of them. The mesh alone determines the share. It does not depend
on the number of instances: one instance can receive a tenth of the requests of a hundred instances.

The caller's sidecar chooses a version at random for each request. The number of requests to the canary therefore
follows the binomial distribution. The allowed range below is the one that this number leaves by chance once in a
hundred million runs.""",
    setup=(VERSIONS, ALL_V1),
    steps=(
        shared(
            "10 %",
            "The canary, reviews v2, receives a tenth of the requests.",
            "istio/canary/reviews-90-10.yaml",
            "reviews-v2",
            percent=10,
            before=(0, 100),
        ),
        shared(
            "20 %",
            "The canary works, so its share increases to a fifth.",
            "istio/canary/reviews-80-20.yaml",
            "reviews-v2",
            percent=20,
            before=(10, 90),
        ),
        finished("istio/canary/reviews-100-v2.yaml"),
        shared(
            "The next canary: 50 %",
            "v3 and v1 receive half of the requests each. v2 receives none and could be stopped.",
            "istio/canary/reviews-50-v3.yaml",
            "reviews-v3",
            percent=50,
            before=(0, 100),
        ),
        Step(
            title="v3 for all users except jason",
            text="A rule can also select a user: jason stays on v2.",
            apply=("istio/canary/reviews-jason-v2-v3.yaml",),
            observations=(
                Observation(pages(60), effects=(Every(RED_STARS),), invariants=(NoneOf(ServedBy("reviews-v2")),)),
            ),
        ),
    ),
    further_reading="""\
In a cluster each version has its own Deployment, so a HorizontalPodAutoscaler can add instances of the canary as its
share grows. In the lab, use `bookinfo scale reviews-v2 --replicas 3`. The shares do not change.""",
)
