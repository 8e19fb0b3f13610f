"""What holds for a workload, in words."""

from dataclasses import replace
from pathlib import Path

import pytest

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate import describe

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
    assert "AuthorizationPolicy reviews-viewer allows everything to everybody" in lines
    assert "what no policy allows is refused with 403" in lines
    assert "DestinationRule reviews puts it into subset v1 of reviews.default.svc.cluster.local" in lines


ADMISSION = """
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


def test_who_may_ask_for_what_is_told(topology: Topology) -> None:
    lines = describe(topology, Rules.parse(read_documents(ADMISSION, "t")), topology.workloads[1])

    assert (
        "AuthorizationPolicy readers allows method GET or HEAD and path /reviews/*, or method POST and path not /admin "
        "to principal cluster.local/ns/default/sa/a or */sa/b and namespace not other, or address 10.0.0.0/8 "
        "when request.headers[x] is y and request.headers[x] is not z"
    ) in lines
    assert "AuthorizationPolicy readers allows port 9080 to everybody" in lines
    assert "AuthorizationPolicy nobody allows nothing" in lines
    assert "AuthorizationPolicy no-hosts denies host a.example to everybody" in lines


def test_how_often_is_told(topology: Topology, repository: Path) -> None:
    (file,) = repository.glob("istio/rate-limit/*.yaml")
    text = file.read_text()

    def lines(text: str, number: int = 0) -> list[str]:
        found = describe(topology, Rules.parse(read_documents(text, "t")), topology.workloads[number])
        return [line for line in found if line.startswith("EnvoyFilter")]

    name = "EnvoyFilter productpage-rate-limit"
    assert lines(text) == [f"{name} limits it to 4 requests every 60s, and 4 at once"]
    assert lines(text, 1) == []
    inert = text.replace("filter_enforced", "filter_enforced_no_more")
    assert lines(inert)[0].startswith(f"{name} would limit it to 4 requests every 60s, and 4 at once, but ")


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
