"""Scenario: following one request."""

from bookinfo_lab.scenarios.claims import Logs
from bookinfo_lab.scenarios.definitions.parts import ALL_V1, CLIENT, CLIENT_POD, VERSIONS
from bookinfo_lab.scenarios.model import Log, Observation, Scenario, Step, Traffic

REQUEST_ID = "bookinfo-lesson"
PAGES = Traffic(
    CLIENT,
    "http://productpage:9080/productpage",
    count=60,
    concurrency=10,
    headers=(("x-request-id", REQUEST_ID),),
)


UNBOUNDED = float("inf")


def _inbound(workload: str) -> Logs:
    """Not every request: a connection that was open when the log was switched on ends without one."""
    return Logs(Log(workload, rf'"{REQUEST_ID}".* inbound\|9080\|'), f"`{REQUEST_ID}` coming in", 20, UNBOUNDED)


SCENARIO = Scenario(
    name="tracing",
    title="Tracing: following one request",
    teaches="How one request is found again in every service that it led to.",
    text="""\
A page costs four requests, in four services. What joins them is a header: the first proxy gives the request an id,
`x-request-id`, and a trace context, `traceparent`, and every service passes both on to the calls that it makes. The
proxies do the rest.

Here the client chooses the id itself, and the proxies' access logs are read.""",
    given=(VERSIONS, ALL_V1, "istio/routing/reviews-v2.yaml", CLIENT_POD),
    steps=(
        Step(
            title="Log and trace everything",
            text="""\
The same id stands in the log of each proxy: the request can be followed to its end. Connections that are open when the
log is switched on finish as they are, so the first few requests are not in it.""",
            apply=("istio/telemetry/tracing-and-access-log.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        _inbound("productpage-v1"),
                        _inbound("details-v1"),
                        _inbound("reviews-v2"),
                        _inbound("ratings-v1"),
                    ),
                ),
            ),
        ),
        Step(
            title="60 % are slow",
            text="The proxy that holds a call up says so: `DI` in its log, delay injected.",
            apply=("istio/faults/ratings-delay-60.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Logs(
                            Log("reviews-v2", rf'" 200 DI .*"{REQUEST_ID}"'),
                            "calls of ratings held up",
                            at_least=1,
                            at_most=UNBOUNDED,
                        ),
                    ),
                ),
            ),
        ),
        Step(
            title="Half of them fail",
            text="`FI`, fault injected: ratings never saw these requests, so its log does not have them.",
            apply=("istio/faults/ratings-abort-50.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Logs(
                            Log("reviews-v2", rf'" 500 FI .*"{REQUEST_ID}"'),
                            "calls of ratings aborted",
                            at_least=1,
                            at_most=UNBOUNDED,
                        ),
                    ),
                ),
            ),
        ),
    ),
    more="""\
The same requests are spans of one trace, with the time that each took: `bookinfo trace --slowest`, or the traces on the
page at http://localhost:8081. In a cluster they are in the collector that the mesh is configured for.""",
)
