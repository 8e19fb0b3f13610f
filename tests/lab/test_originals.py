"""Manifests of the original Bookinfo's shape, in each version of the API that it has had: they apply, and they hold.

Written after the facts of samples/bookinfo/networking; the versions of the API take turns.
"""

import itertools
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from .conftest import Bookinfo, get

VERSIONS = {
    "productpage": ("v1",),
    "reviews": ("v1", "v2", "v3"),
    "ratings": ("v1", "v2", "v2-mysql", "v2-mysql-vm"),
    "details": ("v1", "v2"),
}
API = itertools.cycle(["networking.istio.io/v1alpha3", "networking.istio.io/v1beta1", "networking.istio.io/v1"])
JASON = {"headers": {"end-user": {"exact": "jason"}}}
NO_RATINGS = "Ratings service is currently unavailable"
NO_DETAILS = "Sorry, product details are currently unavailable"

Json = dict[str, Any]


def item(kind: str, name: str, spec: Json, namespace: str = "default") -> Json:
    return {"apiVersion": next(API), "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def subsets(host: str, **policy: Any) -> Json:
    named = [{"name": version, "labels": {"version": version}} for version in VERSIONS[host]]
    traffic = {"trafficPolicy": policy} if policy else {}
    return item("DestinationRule", host, {"host": host, **traffic, "subsets": named})


def to(host: str, subset: str, weight: int | None = None) -> Json:
    share = {} if weight is None else {"weight": weight}
    return {"destination": {"host": host, "subset": subset}, **share}


def routes(host: str, *http: Json) -> Json:
    return item("VirtualService", host, {"hosts": [host], "http": list(http)})


def always(host: str, *targets: Json) -> Json:
    return routes(host, {"route": list(targets)})


def for_jason(host: str, his: str, others: str, **more: Any) -> Json:
    return routes(host, {"match": [JASON], **more, "route": [to(host, his)]}, {"route": [to(host, others)]})


def fault(kind: str, **what: Any) -> Json:
    return {"fault": {kind: {"percentage": {"value": 100.0}, **what}}}


@dataclass(frozen=True)
class Seen:
    """What a browser sees."""

    bookinfo: Bookinfo

    def reviews(self) -> set[str]:
        return set(self.bookinfo.versions(40))

    def page(self, user: str = "") -> str:
        cookie = {}
        if user:
            data = urllib.parse.urlencode({"username": user, "passwd": "x"}).encode()
            opener = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))
            with pytest.raises(urllib.request.HTTPError) as answer:
                opener.open(f"{self.bookinfo.url}/login", data)
            cookie = {"cookie": answer.value.headers["set-cookie"].partition(";")[0]}
            answer.value.close()
        return get(f"{self.bookinfo.url}/productpage", cookie).text

    def status(self, path: str) -> int:
        return get(f"{self.bookinfo.url}{path}").status


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Stay."""


ALL_V1 = [always(host, to(host, "v1")) for host in VERSIONS]
PATHS = [{"exact": "/productpage"}, {"prefix": "/static"}, {"exact": "/login"}, {"exact": "/logout"}]
GATEWAY = {"selector": {"istio": "ingressgateway"}}
HTTP = {"name": "http", "protocol": "HTTP"}
RESOLVER = {  # which cert-manager makes in a cluster
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "cert-manager-resolver", "namespace": "istio-system"},
    "spec": {"selector": {"acme": "resolver"}, "ports": [{"name": "http", "port": 8089}]},
}

# Each is applied upon those before it.
ORIGINALS: list[tuple[str, list[Json], Callable[[Seen], bool]]] = [
    (
        "bookinfo-gateway",
        [
            item(
                "Gateway",
                "bookinfo-gateway",
                GATEWAY | {"servers": [{"port": {"number": 8080, **HTTP}, "hosts": ["*"]}]},
            ),
            item(
                "VirtualService",
                "bookinfo",
                {
                    "hosts": ["*"],
                    "gateways": ["bookinfo-gateway"],
                    "http": [
                        {
                            "match": [{"uri": path} for path in [*PATHS, {"prefix": "/api/v1/products"}]],
                            "route": [{"destination": {"host": "productpage", "port": {"number": 9080}}}],
                        }
                    ],
                },
            ),
        ],
        lambda seen: seen.reviews() == {"v1", "v2", "v3"},
    ),
    (
        "certmanager-gateway",
        [
            RESOLVER,
            item(
                "Gateway",
                "cert-manager-gateway",
                GATEWAY | {"servers": [{"port": {"number": 80, **HTTP}, "hosts": ["*"]}]},
                "istio-system",
            ),
            item(
                "VirtualService",
                "cert-manager",
                {
                    "hosts": ["*"],
                    "gateways": ["cert-manager-gateway"],
                    "http": [
                        {
                            "match": [{"uri": {"prefix": "/.well-known/acme-challenge/"}}],
                            "route": [{"destination": {"host": "cert-manager-resolver", "port": {"number": 8089}}}],
                        }
                    ],
                },
                "istio-system",
            ),
        ],
        lambda seen: NO_DETAILS not in seen.page() and seen.status("/.well-known/acme-challenge/x") == 503,
    ),
    (
        "destination-rule-all-mtls",
        [subsets(host, tls={"mode": "ISTIO_MUTUAL"}) for host in VERSIONS],
        lambda seen: NO_DETAILS not in seen.page(),
    ),
    ("destination-rule-all", [subsets(host) for host in VERSIONS], lambda seen: NO_DETAILS not in seen.page()),
    (
        "destination-rule-reviews",
        [subsets("reviews", loadBalancer={"simple": "RANDOM"})],
        lambda seen: seen.reviews() == {"v1", "v2", "v3"},
    ),
    ("virtual-service-all-v1", ALL_V1, lambda seen: seen.reviews() == {"v1"}),
    (
        "virtual-service-reviews-test-v2",
        [for_jason("reviews", "v2", "v1")],
        lambda seen: seen.reviews() == {"v1"} and "black stars" in seen.page("jason"),
    ),
    (
        "virtual-service-ratings-test-abort",
        [for_jason("ratings", "v1", "v1", **fault("abort", httpStatus=500))],
        lambda seen: NO_RATINGS in seen.page("jason") and NO_RATINGS not in seen.page(),
    ),
    (
        "virtual-service-ratings-test-delay",
        [for_jason("ratings", "v1", "v1", **fault("delay", fixedDelay="7s"))],
        lambda seen: '"fixed_delay": "7s"' in seen.bookinfo("config", "reviews-v2"),
    ),
    ("virtual-service-reviews-50-v3", [always("reviews", to("reviews", "v1", 50), to("reviews", "v3", 50))],
     lambda seen: seen.reviews() == {"v1", "v3"}),
    ("virtual-service-reviews-80-20", [always("reviews", to("reviews", "v1", 80), to("reviews", "v2", 20))],
     lambda seen: seen.reviews() <= {"v1", "v2"}),
    ("virtual-service-reviews-90-10", [always("reviews", to("reviews", "v1", 90), to("reviews", "v2", 10))],
     lambda seen: seen.reviews() <= {"v1", "v2"}),
    (
        "virtual-service-reviews-jason-v2-v3",
        [for_jason("reviews", "v2", "v3")],
        lambda seen: seen.reviews() == {"v3"},
    ),
    ("virtual-service-reviews-v2-v3", [always("reviews", to("reviews", "v2", 50), to("reviews", "v3", 50))],
     lambda seen: seen.reviews() == {"v2", "v3"}),
    *(
        (
            f"virtual-service-ratings-{name}",
            [always("reviews", to("reviews", "v3")), always("ratings", to("ratings", version))],
            lambda seen: seen.reviews() == {"v3"} and NO_RATINGS in seen.page(),  # no such instance runs
        )
        for name, version in (("db", "v2"), ("mysql", "v2-mysql"), ("mysql-vm", "v2-mysql-vm"))
    ),
    ("virtual-service-reviews-v3", [always("reviews", to("reviews", "v3")), always("ratings", to("ratings", "v1"))],
     lambda seen: "red stars" in seen.page()),
    (
        "virtual-service-details-v2",
        [always("details", to("details", "v2"))],
        lambda seen: NO_DETAILS in seen.page(),  # no such instance runs
    ),
    (
        "fault-injection-details-v1",
        [
            routes("details", {**fault("abort", httpStatus=555), "route": [to("details", "v1")]}),
            item(
                "DestinationRule",
                "details",
                {"host": "details", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
            ),
        ],
        lambda seen: NO_DETAILS in seen.page(),
    ),
    (
        "egress-rule-google-apis",
        [
            item(
                "ServiceEntry",
                "googleapis",
                {
                    "hosts": ["www.googleapis.com"],
                    "ports": [
                        {"number": 80, "name": "http", "protocol": "HTTP"},
                        {"number": 443, "name": "https", "protocol": "HTTPS"},
                    ],
                    "resolution": "DNS",
                },
            ),
            item(
                "VirtualService",
                "rewrite-port-for-googleapis",
                {
                    "hosts": ["www.googleapis.com"],
                    "http": [
                        {
                            "match": [{"port": 80}],
                            "route": [{"destination": {"host": "www.googleapis.com", "port": {"number": 443}}}],
                        }
                    ],
                },
            ),
            item(
                "DestinationRule",
                "originate-tls-for-googleapis",
                {
                    "host": "www.googleapis.com",
                    "trafficPolicy": {
                        "loadBalancer": {"simple": "ROUND_ROBIN"},
                        "portLevelSettings": [{"port": {"number": 443}, "tls": {"mode": "SIMPLE"}}],
                    },
                },
            ),
        ],
        lambda seen: '"outbound|443||www.googleapis.com"' in seen.bookinfo("config", "details-v1"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("manifests", "holds"), [case[1:] for case in ORIGINALS], ids=[case[0] for case in ORIGINALS])
def test_an_original_manifest_applies_unchanged_and_holds(
    bookinfo: Bookinfo, manifests: list[Json], holds: Callable[[Seen], bool]
) -> None:
    bookinfo("apply", "-f", "-", stdin="---\n".join(json.dumps(manifest) + "\n" for manifest in manifests))
    assert holds(Seen(bookinfo))
