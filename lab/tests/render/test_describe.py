"""What holds for a workload, in words."""

from dataclasses import replace

import pytest

from bookinfo_lab.documents import read_documents
from bookinfo_lab.model import Rules
from bookinfo_lab.render import describe
from bookinfo_lab.topology import Topology

RULES = """
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
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews-viewer}
spec: {selector: {matchLabels: {app: reviews}}, rules: [{}]}
"""


@pytest.fixture
def rules() -> Rules:
    return Rules.parse(read_documents(RULES, "test.yaml"))


def test_a_callers_rules_are_told_in_words(topology: Topology, rules: Rules) -> None:
    lines = describe(topology, rules, topology.workloads[0])

    calls = "calls of reviews.default.svc.cluster.local: VirtualService reviews: "
    assert f"{calls}when header end-user is jason, 100 % delayed by 7 s, to reviews v2" in lines
    assert f"{calls}to reviews v1 (90 %), to reviews v2 (10 %), within 0.5 s" in lines
    assert "calls of reviews.default.svc.cluster.local: DestinationRule reviews: sick instances ejected" in lines
    assert "calls of hosts that the registry does not know are refused with 502" in lines


def test_what_guards_a_workload_is_told(topology: Topology, rules: Rules) -> None:
    lines = describe(topology, rules, topology.workloads[1])

    assert "port 9080 takes mutual TLS only (STRICT)" in lines
    assert "AuthorizationPolicy reviews-viewer allows 1 kind of request" in lines
    assert "what no policy allows is refused with 403" in lines
    assert "DestinationRule reviews puts it into subset v1 of reviews.default.svc.cluster.local" in lines


def test_a_workload_without_a_sidecar_has_no_rules(topology: Topology, rules: Rules) -> None:
    plain = replace(topology.workloads[0], sidecar=False)

    assert describe(topology, rules, plain) == [
        "it has no sidecar: no rule holds for it, and its calls carry no identity"
    ]


def test_a_gateway_tells_what_it_routes(topology: Topology) -> None:
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
    lines = describe(topology, Rules.parse(read_documents(text, "t")), topology.gateways[0])

    assert lines == [
        "requests for * at 127.0.0.1:8080: VirtualService edge: when uri is /productpage, to productpage",
    ]
