"""Scenario: a release in steps."""

from bookinfo_lab.scenarios.claims import Every, No, Share
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, ANYBODY, RED_STARS, REVIEWS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import Answered, ServedBy
from bookinfo_lab.scenarios.model import Observation, Scenario, Step, Traffic

MANY = Traffic(ANYBODY, REVIEWS, count=1600, concurrency=8)
"""So many that 10 % and 20 % cannot be taken for each other."""


def shared(
    title: str,
    text: str,
    manifest: str,
    canary: str,
    percent: float,
    before: tuple[float, float],
    traffic: Traffic = MANY,
) -> Step:
    """A step in which `canary` gets `percent` and reviews v1 the rest; `before` it they got these shares."""
    return Step(
        title=title,
        text=text,
        apply=(manifest,),
        observations=(
            Observation(
                traffic,
                shows=(
                    Share(ServedBy(canary), percent, otherwise=before[0]),
                    Share(ServedBy("reviews-v1"), 100 - percent, otherwise=before[1]),
                ),
                keeps=(Every(Answered(200)),),
            ),
        ),
    )


def finished(manifest: str, traffic: Traffic = MANY) -> Step:
    """The step in which the canary has become the version."""
    return Step(
        title="All",
        text="The release is done: v2 answers every request. A destination with weight 0 gets none.",
        apply=(manifest,),
        observations=(Observation(traffic, shows=(Every(ServedBy("reviews-v2")),), keeps=(Every(Answered(200)),)),),
    )


SCENARIO = Scenario(
    name="canary",
    title="Canary: a release in steps",
    teaches="How to give a new version a share of the requests, raise it, and end the release.",
    text="""\
A new version proves itself on few requests before it gets all of them. The share is a matter of the mesh alone: the
number of instances has nothing to do with it, so a single instance can take a tenth of the requests of a hundred.

For each request the caller's sidecar throws a die. Over N requests with a share p the number that the canary gets
follows the binomial distribution; what is allowed below is the range outside of which it falls by chance once in a
hundred million times.""",
    given=(VERSIONS, ALL_V1),
    steps=(
        shared(
            "10 %",
            "The canary, reviews v2, gets a tenth.",
            "istio/canary/reviews-90-10.yaml",
            "reviews-v2",
            percent=10,
            before=(0, 100),
        ),
        shared(
            "20 %",
            "It does well, so it gets a fifth.",
            "istio/canary/reviews-80-20.yaml",
            "reviews-v2",
            percent=20,
            before=(10, 90),
        ),
        finished("istio/canary/reviews-100-v2.yaml"),
        shared(
            "The next one: half",
            "v3 gets half of the requests beside v1; v2 is out of use and could be stopped.",
            "istio/canary/reviews-50-v3.yaml",
            "reviews-v3",
            percent=50,
            before=(0, 100),
        ),
        Step(
            title="v3 for everybody but jason",
            text="A share can also be given to somebody in particular: jason keeps v2.",
            apply=("istio/canary/reviews-jason-v2-v3.yaml",),
            observations=(Observation(pages(60), shows=(Every(RED_STARS),), keeps=(No(ServedBy("reviews-v2")),)),),
        ),
    ),
    more="""\
In a cluster each version is a Deployment of its own, so a HorizontalPodAutoscaler can give the canary more instances as
its share grows. In the lab it is `bookinfo scale reviews-v2 --replicas 3`: the shares stay as they are.""",
)
