"""Scenario: one request in all services."""

from bookinfo_lab.scenarios.claims import UNBOUNDED, LogLines
from bookinfo_lab.scenarios.definitions.shared import ALL_V1, CLIENT, CLIENT_POD, VERSIONS
from bookinfo_lab.scenarios.model import LogPattern, Observation, Scenario, Step, Traffic

REQUEST_ID = "bookinfo-lesson"
PAGES = Traffic(
    CLIENT,
    "http://productpage:9080/productpage",
    count=60,
    concurrency=10,
    headers=(("x-request-id", REQUEST_ID),),
)


def _inbound(workload: str) -> LogLines:
    """At least 20 lines, not one per request: connections that were open before the change are not logged."""
    return LogLines(
        LogPattern(workload, rf'"{REQUEST_ID}".* inbound\|9080\|'), f"`{REQUEST_ID}` in inbound requests", 20, UNBOUNDED
    )


SCENARIO = Scenario(
    name="tracing",
    title="Tracing: follow one request",
    teaches="Find one request in every service that handled it.",
    text="""\
A page causes four requests to four services. Headers connect them: the first proxy adds a request ID, `x-request-id`,
and a trace context, `traceparent`, and each service propagates both to its own calls. The proxies do the rest.

In this scenario the client sets the ID itself, and the access logs of the proxies show it.""",
    setup=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml", CLIENT_POD),
    steps=(
        Step(
            title="Log and trace all requests",
            text="""\
The same ID is in the log of each proxy, so you can follow the request through all services. Connections that were open
before this step are not logged, so the first few requests are missing.""",
            apply=("istio/telemetry/tracing-and-access-log.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        _inbound("productpage-v1"),
                        _inbound("details-v1"),
                        _inbound("reviews-v2"),
                        _inbound("ratings-v1"),
                    ),
                ),
            ),
        ),
        Step(
            title="Delay 60 % of the requests to ratings",
            text="""\
The proxy that delays a request reports it: its log contains the response flag `DI` (delay injected).""",
            apply=("istio/faults/ratings-delay-60.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        LogLines(
                            LogPattern("reviews-v2", rf'" 200 DI .*"{REQUEST_ID}"'),
                            "delayed requests to ratings",
                            minimum=1,
                            maximum=UNBOUNDED,
                        ),
                    ),
                ),
            ),
        ),
        Step(
            title="Abort half of the requests to ratings",
            text="""\
The log contains `FI` (fault injected). ratings did not receive these requests, so its log does not contain them.""",
            apply=("istio/faults/ratings-abort-50.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        LogLines(
                            LogPattern("reviews-v2", rf'" 500 FI .*"{REQUEST_ID}"'),
                            "aborted requests to ratings",
                            minimum=1,
                            maximum=UNBOUNDED,
                        ),
                    ),
                ),
            ),
        ),
    ),
    further_reading="""\
The same requests are the spans of one trace, with the time of each: see `bookinfo trace --slowest`, or the traces on
the page at http://localhost:8081. In a cluster they are in the collector that the mesh uses.""",
)
