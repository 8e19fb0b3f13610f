"""The sentences that `bookinfo describe` prints about a workload or a gateway."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Gateway, Topology
from bookinfo_lab.translate import describe

Describe = Callable[[str, str], list[str]]

REVIEWS = "reviews.default.svc.cluster.local"
ROUTING = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
    - match: [{headers: {end-user: {exact: jason}}}]
      fault: {delay: {fixedDelay: 7s, percentage: {value: 100}}}
      route: [{destination: {host: reviews, subset: v2}}]
    - route:
        - {destination: {host: reviews, subset: v1}, weight: 90}
        - {destination: {host: reviews, subset: v2}, weight: 10}
      timeout: 0.5s
---
"""


@pytest.fixture
def describe_proxy(topology: Topology) -> Describe:
    """`describe_proxy(rules, name)`: the lines about one workload or gateway under `rules` (YAML)."""

    def lines(text: str, name: str) -> list[str]:
        shop = Gateway("shop-istio", "default", {}, "sa", "127.64.0.3", {80: ("127.0.0.1", 8081)}, "shop")
        mesh = replace(topology, gateways=(*topology.gateways, shop), collector=("127.64.0.9", 4318))
        proxy = next(item for item in (*mesh.workloads, *mesh.gateways) if item.name == name)
        rules = Rules.parse(read_documents(text, "test.yaml")) if text else Rules()
        return describe(mesh, rules, proxy)

    return lines


# Calls of a workload


def test_virtual_service_is_described_with_match_fault_shares_and_timeout(describe_proxy: Describe) -> None:
    lines = describe_proxy(ROUTING, "productpage-v1")

    prefix = f"calls to {REVIEWS}: VirtualService reviews: "
    assert f"{prefix}when header end-user is jason, 100 % delayed by 7 s, to reviews subset v2" in lines
    assert f"{prefix}90 % to reviews subset v1, 10 % to reviews subset v2, timeout 0.5 s" in lines


def test_traffic_policy_is_described(describe_proxy: Describe) -> None:
    lines = describe_proxy(ROUTING, "productpage-v1")

    assert f"calls to {REVIEWS}: DestinationRule reviews: failing endpoints are ejected" in lines
    assert f"calls to subset v1 of {REVIEWS}: DestinationRule reviews: failing endpoints are ejected" in lines


def test_calls_to_unknown_hosts_are_described_as_rejected(describe_proxy: Describe) -> None:
    assert "calls to hosts outside the registry are rejected with 502" in describe_proxy("", "productpage-v1")


HTTP_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews}]
  rules:
    - filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: ratings, port: 9080}}}
        - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
        - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}}
      timeouts: {request: 1s, backendRequest: 500ms}
      backendRefs: [{name: reviews, port: 9080}]
    - matches: [{path: {value: /x}, queryParams: [{type: RegularExpression, name: q, value: '.*'}]}]
"""


def test_filters_and_timeouts_of_http_route_are_described(describe_proxy: Describe) -> None:
    assert (
        f"calls to {REVIEWS}: HTTPRoute a: to reviews, mirrored to ratings, rewritten to path prefix /, "
        "response headers changed, timeout 1 s, timeout of each try 0.5 s"
    ) in describe_proxy(HTTP_ROUTE, "productpage-v1")


def test_http_route_rule_without_backend_is_described_as_500(describe_proxy: Describe) -> None:
    assert (
        f"calls to {REVIEWS}: HTTPRoute a: when path is or is below /x and query parameter q matches .*, "
        "get 500 because the rule has no backend"
    ) in describe_proxy(HTTP_ROUTE, "productpage-v1")


# Calls to a workload

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""


def test_mutual_tls_mode_of_each_port_is_described(describe_proxy: Describe) -> None:
    assert "port 9080 accepts mutual TLS only (STRICT)" in describe_proxy(STRICT, "reviews-v1")
    assert "port 9080 accepts mutual TLS and plaintext (PERMISSIVE)" in describe_proxy("", "reviews-v1")


def test_service_and_subset_of_workload_are_described(describe_proxy: Describe) -> None:
    lines = describe_proxy(ROUTING, "reviews-v1")

    assert f"endpoint of {REVIEWS}" in lines
    assert f"in subset v1 of {REVIEWS}, which DestinationRule reviews defines" in lines


AUTHORIZATION = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers}
spec:
  rules:
    - from:
        - source: {principals: [cluster.local/ns/default/sa/a, "*/sa/b"], notNamespaces: [other]}
        - source: {ipBlocks: [10.0.0.0/8]}
      to:
        - operation: {methods: [GET, HEAD], paths: [/reviews/*]}
        - operation: {methods: [POST], notPaths: [/admin]}
      when: [{key: "request.headers[x]", values: [y], notValues: [z]}]
    - to: [{operation: {ports: ["9080"]}}]
    - {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-hosts}
spec: {action: DENY, rules: [{to: [{operation: {hosts: [a.example]}}]}]}
"""


@pytest.mark.parametrize(
    "line",
    [
        (
            "AuthorizationPolicy readers allows requests with method GET or HEAD and path /reviews/*, "
            "or with method POST and path not /admin, from principal cluster.local/ns/default/sa/a or */sa/b "
            "and namespace not other, or from IP address 10.0.0.0/8, "
            "when request.headers[x] is y and request.headers[x] is not z"
        ),
        "AuthorizationPolicy readers allows requests with port 9080",
        "AuthorizationPolicy readers allows all requests",
        "AuthorizationPolicy nobody allows no requests",
        "AuthorizationPolicy no-hosts denies requests with host a.example",
        "requests that no policy allows are rejected with 403",
    ],
)
def test_authorization_policy_is_described(describe_proxy: Describe, line: str) -> None:
    assert line in describe_proxy(AUTHORIZATION, "reviews-v1")


@pytest.fixture
def rate_limit(repository: Path) -> str:
    """The EnvoyFilter of istio/rate-limit, for productpage."""
    (file,) = repository.glob("istio/rate-limit/*.yaml")
    return file.read_text()


def test_rate_limit_is_described_for_the_selected_workload_only(describe_proxy: Describe, rate_limit: str) -> None:
    line = "EnvoyFilter productpage-rate-limit limits requests to 4 requests every 60s, in bursts of up to 4"

    assert line in describe_proxy(rate_limit, "productpage-v1")
    assert line not in describe_proxy(rate_limit, "reviews-v1")


def test_rate_limit_that_is_not_enforced_is_described_as_without_effect(
    describe_proxy: Describe, rate_limit: str
) -> None:
    lines = describe_proxy(rate_limit.replace("filter_enforced", "unknown_field"), "productpage-v1")

    assert [line for line in lines if line.startswith("EnvoyFilter productpage-rate-limit has no effect: ")]


def test_workload_without_sidecar_has_no_rules(topology: Topology) -> None:
    without_sidecar = replace(topology.workloads[0], sidecar=False)

    assert describe(topology, Rules.parse(read_documents(ROUTING, "test.yaml")), without_sidecar) == [
        "no sidecar: no rule applies to this workload, and its calls carry no identity"
    ]


# Gateways


def test_virtual_service_is_described_for_its_gateway(describe_proxy: Describe) -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec:
  hosts: ["*"]
  gateways: [edge]
  http: [{match: [{uri: {exact: /productpage}}], route: [{destination: {host: productpage}}]}]
"""
    assert describe_proxy(text, "gateway") == [
        "requests for * at 127.0.0.1:8080: VirtualService edge: when uri is /productpage, to productpage",
    ]


def test_http_route_is_described_for_its_gateway(describe_proxy: Describe) -> None:
    text = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shop}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a}
spec:
  parentRefs: [{name: shop}]
  rules:
    - matches: [{path: {type: Exact, value: /a}, method: GET}, {headers: [{name: end-user, value: jason}]}]
      backendRefs: [{name: reviews, port: 9080, weight: 3}, {name: nobody, port: 1}]
    - filters: [{type: RequestRedirect, requestRedirect: {hostname: a.example}}]
"""
    assert describe_proxy(text, "shop-istio") == [
        (
            "requests for * at port 80: HTTPRoute a: when path is /a and method is GET or header end-user is jason, "
            "75 % to reviews, 25 % get 500 (Service nobody.default.svc.cluster.local not found)"
        ),
        "requests for * at port 80: HTTPRoute a: redirect 302",
        "requests for * at port 80 that match no rule get 404",
    ]


# Telemetry


def test_sampling_is_described_for_each_direction(describe_proxy: Describe) -> None:
    text = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t}
spec: {tracing: [{match: {mode: CLIENT}, randomSamplingPercentage: 5}]}
"""
    lines = describe_proxy(text, "reviews-v1")

    assert "100 % of inbound requests are traced" in lines
    assert "5 % of outbound requests are traced" in lines
