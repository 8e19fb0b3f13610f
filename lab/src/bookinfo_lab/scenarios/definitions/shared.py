"""Values that several scenarios use."""

from bookinfo_lab.scenarios.matchers import Contains
from bookinfo_lab.scenarios.model import Browser, Counter, Pod, Traffic

PAGE = "/productpage"
REVIEWS = "/api/v1/products/0/reviews"

ANYONE = Browser()
JASON = Browser(user="jason")
CLIENT = Pod("client")
CLIENT_PLAIN = Pod("client-plain")
GATEWAY = "istio-ingressgateway"

VERSIONS = "istio/gateway/destination-rules.yaml"
ALL_V1 = "istio/routing/all-v1.yaml"
CLIENT_POD = "kubernetes/client.yaml"

STARS = Contains("glyphicon glyphicon-star")
BLACK_STARS = Contains("black stars")
RED_STARS = Contains("red stars")
NO_RATINGS = Contains("Ratings service is currently unavailable")
NO_REVIEWS = Contains("Sorry, product reviews are currently unavailable for this book.")
NO_DETAILS = Contains("Sorry, product details are currently unavailable for this book.")


def pages(count: int, caller: Browser = ANYONE, concurrency: int = 4) -> Traffic:
    """Requests for the product page."""
    return Traffic(caller, PAGE, count=count, concurrency=min(count, concurrency))


def ratings_requests(count: int, concurrency: int = 1, per_second: float = 0.0) -> Traffic:
    """Requests from the client to ratings."""
    return Traffic(CLIENT, "http://ratings:9080/ratings/0", count=count, concurrency=concurrency, per_second=per_second)


def outbound(caller: str, service: str, statistic: str, *, subset: str = "[^|]*", port: int = 9080) -> Counter:
    """A statistic of `caller`'s sidecar about its requests to a service."""
    host = rf"{service}\.default\.svc\.cluster\.local"
    return Counter(caller, rf"cluster\.outbound\|{port}\|{subset}\|{host};?\.{statistic}")


def inbound(statistic: str) -> str:
    """The pattern of a sidecar's statistic about inbound requests.

    Its name begins with `http.inbound_9080.` in the lab and contains an address in a cluster.
    """
    return rf"http\.inbound_(0\.0\.0\.0_)?9080;?\.{statistic}"


def served_by(workload: str) -> Counter:
    """The number of inbound requests of a workload."""
    return Counter(workload, inbound("downstream_rq_completed"))
