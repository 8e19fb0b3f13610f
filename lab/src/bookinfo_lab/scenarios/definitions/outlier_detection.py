"""Scenario: a sick instance is left out, and comes back."""

from dataclasses import replace

from bookinfo_lab.scenarios.claims import Between, Counts
from bookinfo_lab.scenarios.definitions.parts import CLIENT_POD, VERSIONS, calls_of_ratings, inbound, to
from bookinfo_lab.scenarios.matchers import Answered
from bookinfo_lab.scenarios.model import Counter, Observation, Scenario, Step

EJECTIONS = to("client", "ratings", r"outlier_detection\.ejections_enforced_total")
EJECTED = replace(to("client", "ratings", r"outlier_detection\.ejections_active"), gauge=True)

SCENARIO = Scenario(
    name="outlier-detection",
    title="Outlier detection: a sick instance is left out",
    teaches="How callers notice by themselves that one instance fails, avoid it, and give it another chance.",
    text="""\
Beside the good instance of ratings there is a second one that works for 3 s, fails for 3 s, and so on, and always calls
itself ready. While it fails so does every other call: a quarter of all.""",
    given=(VERSIONS, CLIENT_POD, "kubernetes/ratings-spells.yaml"),
    steps=(
        Step(
            title="It is ejected, and comes back",
            text="""\
After three failures in a row the instance gets no more calls for 3 s, from this caller. Then it is tried again; if it
still failed, it would be out for twice as long. What remains are the few failures that it takes to notice. In its good
spells it does its part of the work, as before.""",
            apply=("istio/circuit-breaking/ratings-outlier-detection.yaml",),
            observations=(
                # 12 s: two good spells and two bad ones, wherever they begin.
                Observation(
                    calls_of_ratings(480, concurrency=4, per_second=40),
                    shows=(
                        Between(Answered(503), 0, 14),
                        Counts(EJECTIONS, "ejections"),
                    ),
                    keeps=(
                        Between(Answered(200), 50, 100),
                        Counts(
                            Counter("ratings-spells", inbound("downstream_rq_2xx")),
                            "requests that it answered well meanwhile",
                            at_least=20,
                        ),
                        Counts(EJECTED, "instances ejected, in the end", at_least=0, at_most=0),
                    ),
                ),
            ),
        ),
    ),
    more="`bookinfo proxy client /clusters` shows the instances that the client's Envoy knows, and which are ejected.",
)
