"""Mistakes in Istio objects: each is told in one line with its place and what to do, before anything is changed."""

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules

TO = "route: [{destination: {host: reviews}}]"
HALF = "{destination: {host: reviews}, weight: 2147483648}"
PORT = "port: {number: 80, name: a, protocol: HTTP}"
SELECT = "workloadSelector: {matchLabels: {app: a}"  # `destination` closes it


def istio(kind: str, spec: str, group: str = "networking") -> str:
    return f"apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: mine}}\nspec: {{{spec}}}\n"


def routing(http: str, hosts: str = "[reviews]") -> str:
    return istio("VirtualService", f"hosts: {hosts}, http: [{{{http}}}]")


def destination(policy: str) -> str:
    return istio("DestinationRule", f"host: ratings, trafficPolicy: {{{policy}}}")


def entry(text: str) -> str:
    return istio("ServiceEntry", text)


def authz(text: str) -> str:
    return istio("AuthorizationPolicy", text, "security")


def said(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        Rules.parse(read_documents(text, "mine.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        # Names, types and values that are not Istio's
        (routing(f"{TO}, timout: 1s"), "spec.http[0].timout", "unknown field timout; did you mean timeout?"),
        (istio("VirtualServices", ""), "kind", "no kind VirtualServices in networking.istio.io; did you mean Virt"),
        (istio("VirtualService", "").replace("/v1", "/v2"), "apiVersion", "no version v2; write networking.istio.io"),
        (istio("VirtualService", "hosts: [a]").replace("name: mine", "nam: mine, name: mine"), "metadata.nam", "unk"),
        (routing("route: [{destination: {host: a}, weight: '90'}]"), "route[0].weight", 'text ("90"), not a number'),
        (routing("route: {destination: {host: reviews}}"), "spec.http[0].route", "is an object, not a list"),
        (routing("route: [reviews]"), "spec.http[0].route[0]", "not an object"),
        (routing("route: [{destination: {}}]"), "route[0].destination", "host is missing; add host"),
        (routing(f"match: [{{uri: {{exact: /a, prefix: /b}}}}], {TO}"), "uri", "exclude each other; keep one"),
        (destination("tls: {mode: STRICT}"), "spec.trafficPolicy.tls.mode", 'cannot be "STRICT"; it can be DISABLE'),
        (istio("PeerAuthentication", "mtls: {mode: STRCT}", "security"), "mtls.mode", "did you mean STRICT?"),
        (istio("PeerAuthentication", ""), "kind", "in networking.istio.io; write apiVersion: security.istio.io/v1"),
        (routing(TO).replace("name: mine", "name: mine, annotations: {a: 1}"), "metadata.annotations.a", "quote it"),
        (routing(TO).replace("name: mine", "name: mine, labels: {a: true}"), "metadata.labels.a", "not text; quote"),
        # What Istio has and the lab does not
        (routing("delegate: {name: other}"), "spec.http[0].delegate", "the lab does not implement delegate"),
        (istio("WorkloadGroup", "template: {}"), "kind", "the lab does not implement WorkloadGroup"),
        (destination("loadBalancer: {simple: PASSTHROUGH}"), "simple", "does not implement simple PASSTHROUGH"),
        (authz("action: CUSTOM"), "spec.action", "does not implement action CUSTOM"),
        (routing(f"fault: {{abort: {{grpcStatus: UNAVAILABLE}}}}, {TO}"), "grpcStatus", "does not implement"),
        (routing(f"match: [{{headers: {{'@request.auth.claims.a': {{exact: b}}}}}}], {TO}"), "headers", "claims"),
        # Values that mean nothing
        (routing(f"timeout: 7sec, {TO}"), "spec.http[0].timeout", "'7sec' is not a duration; write it like 0.5s"),
        (routing(f"timeout: -1s, {TO}"), "spec.http[0].timeout", "is not a duration"),
        (routing(f"timeout: 0s, {TO}"), "spec.http[0].timeout", "shorter than 1ms"),
        (routing(f"match: [{{headers: {{'end user': {{exact: b}}}}}}], {TO}"), "headers.end user", "not the name of"),
        (routing(f"headers: {{request: {{set: {{'a:': b}}}}}}, {TO}"), "headers.request.set", "is not the name of"),
        (routing(f"headers: {{response: {{remove: ['']}}}}, {TO}"), "headers.response.remove", "not the name of"),
        (routing("route: [{destination: {host: a}, headers: {request: {add: {'ä': b}}}}]"), "request.add", "is not"),
        (destination("loadBalancer: {consistentHash: {httpHeaderName: a b}}"), "httpHeaderName", "not the name of"),
        (destination("connectionPool: {tcp: {tcpKeepalive: {time: 1.5s}}}"), "tcpKeepalive.time", "whole number of"),
        (routing("route: [{destination: {host: a}, weight: 0}, {destination: {host: b}}]"), "route", "every weight"),
        (routing("route: [{destination: {host: a}, weight: -1}]"), "weight", "weight is negative"),
        (routing("route: [{destination: {host: a, port: {number: 70000}}}]"), "number", "not within 1 and 65535"),
        (routing(f"fault: {{abort: {{httpStatus: 500, percentage: {{value: 150}}}}}}, {TO}"), "value", "150"),
        (routing(f"fault: {{abort: {{percentage: {{value: 50}}}}}}, {TO}"), "fault.abort", "has no httpStatus"),
        (routing(f"fault: {{abort: {{httpStatus: 99}}}}, {TO}"), "httpStatus", "not within 200 and 599"),
        (routing(f"fault: {{delay: {{percentage: {{value: 1}}}}}}, {TO}"), "fault.delay", "has no fixedDelay"),
        (routing(f"retries: {{attempts: -1}}, {TO}"), "retries.attempts", "attempts is negative"),
        (routing(f"retries: {{attempts: 1, retryOn: 6xx}}, {TO}"), "retryOn", "'6xx' is no reason to retry"),
        (routing(f"redirect: {{uri: /a}}, {TO}"), "spec.http[0]", "has route and redirect; keep one"),
        (routing("match: [{uri: {exact: /a}}]"), "spec.http[0]", "has nothing; keep one of route"),
        (routing("redirect: {uri: /a, redirectCode: 200}"), "redirectCode", "cannot be 200; it can be 301"),
        (routing(f"rewrite: {{uri: /, uriRegexRewrite: {{match: a, rewrite: b}}}}, {TO}"), "rewrite", "exclude"),
        (routing(TO, "[]"), "spec", "hosts is missing or empty"),
        (routing(TO, "['reviews:9080']"), "spec.hosts[0]", "'reviews:9080' is not a host"),
        (routing(TO, "[a.example, '*.example']"), "spec.hosts[1]", "*.example and a.example have hosts in common; ke"),
        (routing(TO, "['*.example', a.example]"), "spec.hosts[1]", "a.example and *.example have hosts in common; ke"),
        (routing(TO, "[reviews, reviews]"), "spec.hosts[1]", "reviews and reviews have hosts in common; keep one"),
        (routing(TO, "['*']"), "spec.hosts[0]", "a rule for the mesh cannot have the host *"),
        (routing("redirect: {uri: /a}, rewrite: {uri: /b}"), "http[0].rewrite", "redirect and rewrite exclude"),
        (routing("redirect: {uri: /a}, fault: {abort: {httpStatus: 500}}"), "http[0].fault", "redirect and fault ex"),
        (routing("directResponse: {status: 200}, rewrite: {uri: /b}"), "rewrite", "directResponse and rewrite excl"),
        (routing("redirect: {redirectCode: 301}"), "http[0].redirect", "redirect says not where to; add uri"),
        (routing("redirect: {scheme: ftp}"), "redirect.scheme", "cannot be ftp; it can be http, https"),
        (routing("redirect: {port: 70000}"), "redirect.port", "not within 1 and 65535"),
        (routing(f"mirror: {{host: a}}, mirrors: [{{destination: {{host: b}}}}], {TO}"), "http[0]", "mirror and mir"),
        (routing(f"corsPolicy: {{allowMethods: [GET, get]}}, {TO}"), "allowMethods[1]", "'get' is not a method; it"),
        (routing(f"headers: {{request: {{set: {{':path': /a}}}}}}, {TO}"), "request.set", ":path cannot be changed"),
        (routing(f"headers: {{request: {{remove: [Host]}}}}, {TO}"), "request.remove", "Host cannot be changed as a"),
        (routing(f"headers: {{response: {{add: {{':status': '1'}}}}}}, {TO}"), "response.add", ":status cannot be"),
        (routing("route: [{destination: {host: a}, headers: {response: {set: {host: b}}}}]"), "response.set", "host "),
        (routing(f"route: [{HALF}, {HALF}]"), "http[0].route", "weights add up to 4294967296, more than 4294967295"),
        (routing(TO, "[reviews], exportTo: [nonsense!]"), "exportTo[0]", "'nonsense!' is not a namespace; write one"),
        (istio("DestinationRule", "host: a, exportTo: ['']"), "exportTo[0]", "'' is not a namespace"),
        (istio("DestinationRule", "host: a, workloadSelector: {matchLabels: {app: '*'}}"), "matchLabels.app", "wildc"),
        (istio("Sidecar", "workloadSelector: {labels: {app: 'a*'}}"), "workloadSelector.labels.app", "has no wildcard"),
        (authz("selector: {matchLabels: {app: '*'}}"), "selector.matchLabels.app", "wildcard, and this has app=*"),
        (istio("VirtualService", "hosts: [a]"), "spec", "http is missing or empty"),
        (istio("DestinationRule", "host: a, subsets: [{name: v1}, {name: v1}]"), "subsets[1].name", "two subsets are"),
        (istio("DestinationRule", "host: a, subsets: [{name: 'V 1|x'}]"), "subsets[0].name", "'V 1|x' is not a name"),
        (istio("DestinationRule", "host: a, subsets: [{name: ''}]"), "subsets[0].name", "'' is not a name; use up to"),
        (destination("outlierDetection: {maxEjectionPercent: 101}"), "maxEjectionPercent", "not within 0 and 100"),
        (destination("outlierDetection: {interval: 0s}"), "interval", "shorter than 1ms"),
        (destination("connectionPool: {tcp: {maxConnections: -1}}"), "maxConnections", "is negative"),
        (destination("loadBalancer: {consistentHash: {}}"), "consistentHash", "needs exactly one key"),
        (destination("tls: {mode: MUTUAL}"), "tls", "MUTUAL needs clientCertificate and privateKey"),
        (destination(f"tls: {{mode: MUTUAL, credentialName: a, privateKey: /k}}}}, {SELECT}"), "tls", "exclude each o"),
        (destination("tls: {mode: SIMPLE, credentialName: ca}"), "trafficPolicy", "without a workloadSelector"),
        (istio("Gateway", "servers: [{port: {number: 1, name: a, protocol: TLS}, hosts: [a]}]"), "protocol", "TLS"),
        (istio("Gateway", "selector: {}"), "spec", "servers is missing"),
        (entry("hosts: ['*.example.com'], ports: [{number: 80, name: http}]"), "hosts[0]", "resolve a wildcard"),
        (entry("hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: a}]"), "spec", "endpoints is"),
        (entry("hosts: [a.example], ports: [{number: 80, name: a, protocol: SMTP}]"), "protocol", "not speak SMTP"),
        (istio("Sidecar", "egress: [{hosts: [reviews]}]"), "egress[0].hosts[0]", "names no namespace"),
        (istio("Sidecar", "egress: [{hosts: [./reviews]}]"), "egress[0].hosts[0]", "reviews is a short name, and st"),
        (istio("Sidecar", "egress: [{hosts: ['a b/*']}]"), "egress[0].hosts[0]", "'a b' is not a namespace; write"),
        (istio("Gateway", f"servers: [{{{PORT}, hosts: ['*/shop']}}]"), "hosts[0]", "write shop.default.svc.cluster"),
        (istio("PeerAuthentication", "portLevelMtls: {'1': {mode: STRICT}}", "security"), "portLevelMtls", "selector"),
        (istio("RequestAuthentication", "jwtRules: [{issuer: a}]", "security"), "jwtRules[0]", "has no keys"),
        (istio("RequestAuthentication", "jwtRules: [{issuer: a, jwks: '{}'}]", "security"), "jwks", "not a JSON Web"),
        (authz("action: DENY"), "spec", "a DENY policy without rules denies nothing"),
        (authz("rules: [{from: [{source: {}}]}]"), "rules[0].from[0].source", "source is empty"),
        (authz("rules: [{from: [{source: {ipBlocks: [localhost]}}]}]"), "source", "is not an address block"),
        (authz("rules: [{to: [{operation: {ports: [http]}}]}]"), "operation", "'http' is not a port"),
        (authz("rules: [{to: [{operation: {paths: ['/{a}']}}]}]"), "paths", "does not match path templates"),
        (authz("rules: [{when: [{key: request.host, values: [a]}]}]"), "key", "unknown key request.host"),
        (authz("rules: [{when: [{key: source.ip}]}]"), "when[0]", "a condition has no values"),
        (authz("rules: [{when: [{key: source.ip, values: [a]}]}]"), "when[0].values", "'a' is not an address block"),
        (authz("rules: [{when: [{key: remote.ip, notValues: [a]}]}]"), "notValues", "'a' is not an address block"),
        (authz("rules: [{when: [{key: destination.port, values: [http]}]}]"), "values", "'http' is not a port"),
        (authz("rules: [{when: [{key: destination.port, values: ['²']}]}]"), "values", "'²' is not a port"),
        (authz("rules: [{when: [{key: 'request.headers[a b]', values: [a]}]}]"), "key", "'a b' is not the name of"),
        (authz("rules: [{to: [{operation: {notPaths: ['']}}]}]"), "operation.notPaths[0]", "an empty text matches"),
        (authz("rules: [{from: []}]"), "rules[0].from", "from is empty; add an item, or take `from` out for every"),
        (authz("rules: [{to: []}]"), "rules[0].to", "to is empty; add an item, or take `to` out for everything"),
        (authz("rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]"), "source", "excludes"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(text: str, where: str, what: str) -> None:
    line = said(text)

    assert line.startswith("mine.yaml: document 1 (")
    assert where in line
    assert what in line
    assert "; " in line, "it says what to do"
    assert "\n" not in line


def test_an_object_that_is_there_twice_is_told_with_both_places() -> None:
    line = said(f"{routing(TO)}---\n{routing(TO)}")

    assert line.startswith("mine.yaml: document 2 (VirtualService mine): metadata.name, line 8: ")
    assert "is in mine.yaml, document 1 too" in line


@pytest.mark.parametrize("regex", [".*(?i)x", "(?U)a+", r"\\(?=x.*", r"\\{2000", r"\\x{263a}", "(a"])
def test_whether_a_regex_is_one_is_left_to_envoy(regex: str) -> None:
    text = routing(f'match: [{{uri: {{regex: "{regex}"}}}}], {TO}')
    assert len(Rules.parse(read_documents(text, "re2.yaml")).virtual_services) == 1


@pytest.mark.parametrize("name", ["Bad_Name", "-a", "a..b", "a" * 254])
def test_a_name_that_kubernetes_would_refuse_is_refused(name: str) -> None:
    line = said(routing(TO).replace("name: mine", f"name: {name}"))
    assert "metadata.name, line 3" in line
    assert "use up to 253 of a-z, 0-9, - and ." in line


def test_a_namespace_that_kubernetes_would_refuse_is_refused() -> None:
    line = said(routing(TO).replace("name: mine", "name: mine.two, namespace: a.b"))
    assert "metadata.namespace, line 3" in line
    assert "'a.b' is not a namespace" in line


def test_older_versions_of_the_api_are_the_same_objects() -> None:
    for version in ("v1", "v1beta1", "v1alpha3"):
        text = routing(TO).replace("networking.istio.io/v1", f"networking.istio.io/{version}")
        assert len(Rules.parse(read_documents(text, "old.yaml")).virtual_services) == 1


def test_what_a_server_sets_can_be_applied_again() -> None:
    more = "name: mine, uid: u, resourceVersion: '1', generation: 2, creationTimestamp: 2026-01-01T00:00:00Z"
    text = routing(TO).replace("name: mine", more) + "status: {}\n"

    assert len(Rules.parse(read_documents(text, "again.yaml")).virtual_services) == 1
