"""What several scenarios have in common."""

from bookinfo_lab.scenarios.matchers import Showing
from bookinfo_lab.scenarios.model import Browser, Counter, Pod, Traffic

PAGE = "/productpage"
REVIEWS = "/api/v1/products/0/reviews"

ANYBODY = Browser()
JASON = Browser(user="jason")
CLIENT = Pod("client")
CLIENT_PLAIN = Pod("client-plain")
GATEWAY = "istio-ingressgateway"

VERSIONS = "istio/gateway/destination-rules.yaml"
ALL_V1 = "istio/routing/all-v1.yaml"
CLIENT_POD = "kubernetes/client.yaml"

STARS = Showing("glyphicon glyphicon-star")
BLACK_STARS = Showing("black stars")
RED_STARS = Showing("red stars")
NO_RATINGS = Showing("Ratings service is currently unavailable")
NO_REVIEWS = Showing("Sorry, product reviews are currently unavailable for this book.")
NO_DETAILS = Showing("Sorry, product details are currently unavailable for this book.")


def pages(count: int, caller: Browser = ANYBODY, concurrency: int = 4) -> Traffic:
    """The product page, again and again."""
    return Traffic(caller, PAGE, count=count, concurrency=min(count, concurrency))


def calls_of_ratings(count: int, concurrency: int = 1, per_second: float = 0.0) -> Traffic:
    """The client calls ratings itself."""
    return Traffic(CLIENT, "http://ratings:9080/ratings/0", count=count, concurrency=concurrency, per_second=per_second)


def to(caller: str, service: str, what: str, *, subset: str = "[^|]*", port: int = 9080) -> Counter:
    """A counter of `caller`'s sidecar for what it sends to a service."""
    host = rf"{service}\.default\.svc\.cluster\.local"
    return Counter(caller, rf"cluster\.outbound\|{port}\|{subset}\|{host};?\.{what}")


def inbound(what: str) -> str:
    """The pattern of a sidecar's counter for what it lets in: `http.inbound_9080.…`, in a cluster with an address."""
    return rf"http\.inbound_(0\.0\.0\.0_)?9080;?\.{what}"


def served_by(workload: str) -> Counter:
    """The requests that a workload's sidecar has let in."""
    return Counter(workload, inbound("downstream_rq_completed"))
