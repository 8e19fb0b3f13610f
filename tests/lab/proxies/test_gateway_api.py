"""What Gateway and HTTPRoute do to requests, on real Envoys. Docstrings name the field in the Gateway API's spec.

Fields are those of https://gateway-api.sigs.k8s.io/reference/spec/; GEPs are at https://gateway-api.sigs.k8s.io/geps/.
"""

import socket
import ssl
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml

from bookinfo_lab.resources.topology import Secret
from bookinfo_lab.scenarios.certificate import secret_manifest

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

LISTENER = "{name: http, port: 80, protocol: HTTP}"


def gateway(listeners: str = LISTENER) -> str:
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: shop}\n"
        f"spec: {{gatewayClassName: istio, listeners: [{listeners}]}}\n---\n"
    )


def route(rules: str, name: str = "shop", more: str = "", parent: str = "{name: shop}") -> str:
    return (
        f"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n"
        f"spec: {{parentRefs: [{parent}], {more}rules: [{rules}]}}\n---\n"
    )


def to(*names: str) -> str:
    """Backends by name; `reviews-v1*90` has a weight."""
    parts = [(name.partition("*")[0], name.partition("*")[2] or "1") for name in names]
    return (
        "backendRefs: [" + ", ".join(f"{{name: {name}, port: 9080, weight: {weight}}}" for name, weight in parts) + "]"
    )


def path(value: str, kind: str = "PathPrefix") -> str:
    return f"path: {{type: {kind}, value: '{value}'}}"


def rule(match: str, backend: str = "", filters: str = "", more: str = "") -> str:
    parts = [f"matches: [{{{match}}}]" if match else "", to(backend) if backend else ""]
    parts += [f"filters: [{filters}]" if filters else "", more]
    return "{" + ", ".join(part for part in parts if part) + "}"


def name_of(response: Any) -> str:
    return str(response.received["name"]) if response.status == 200 else str(response.status)


# Matching: HTTPRouteRule.matches, HTTPPathMatch


def test_prefix_matches_whole_path_elements(mesh: Mesh) -> None:
    """HTTPPathMatch: PathPrefix ignores a trailing slash."""
    mesh.apply(gateway() + route(rule(path("/api/"), "reviews-v1")))

    responses = {tried: mesh.request_shop(tried).status for tried in ("/api", "/api/", "/api/a", "/apiary", "/Api")}

    assert responses == {"/api": 200, "/api/": 200, "/api/a": 200, "/apiary": 404, "/Api": 404}


@pytest.mark.parametrize(
    ("general", "specific"),
    [
        (path("/a"), path("/a/b", "Exact")),
        (path("/a/b(c)?", "RegularExpression"), path("/a")),
        (path("/"), path("/a")),
        (path("/a") + ", headers: [{name: x, value: '1'}, {name: y, value: '1'}]", path("/a") + ", method: GET"),
        (path("/a") + ", queryParams: [{name: q, value: '1'}]", path("/a") + ", headers: [{name: x, value: '1'}]"),
        (path("/a"), path("/a") + ", queryParams: [{name: q, value: '1'}]"),
    ],
)
def test_more_specific_match_wins_in_any_position(mesh: Mesh, general: str, specific: str) -> None:
    """HTTPRouteRule.matches: Exact, longest prefix, method, most headers, most query parameters."""
    mesh.apply(gateway() + route(f"{rule(general, 'reviews-v2')}, {rule(specific, 'reviews-v1')}"))

    assert name_of(mesh.request_shop("/a/b?q=1", x="1", y="1")) == "reviews-v1-1"


def test_equal_matches_are_ordered_by_age_then_name_then_position(mesh: Mesh) -> None:
    """HTTPRouteRule.matches: ties. Routes of one change have the same age."""
    both = f"{rule(path('/a'), 'reviews-v1')}, {rule(path('/a'), 'reviews-v2')}"
    mesh.apply(gateway() + route(rule(path("/a"), "ratings"), "b") + route(both, "a"))

    assert name_of(mesh.request_shop("/a")) == "reviews-v1-1"


def test_headers_and_query_parameters_match_exactly_or_by_regex(mesh: Mesh) -> None:
    """HTTPHeaderMatch (case-insensitive names) and HTTPQueryParamMatch."""
    agent = "headers: [{type: RegularExpression, name: User-Agent, value: '.*Firefox/[0-9]+.*'}]"
    version = "queryParams: [{name: v, value: '2'}]"
    mesh.apply(gateway() + route(f"{rule(agent, 'reviews-v1')}, {rule(version, 'reviews-v2')}"))

    assert name_of(mesh.request_shop(user_agent="Mozilla Firefox/144 x")) == "reviews-v1-1"
    assert name_of(mesh.request_shop("/?v=2")) == "reviews-v2-1"
    assert mesh.request_shop("/?v=22", user_agent="Firefox/x").status == 404


def test_conditions_of_a_match_are_anded_and_matches_are_ored(mesh: Mesh) -> None:
    """HTTPRouteMatch: conditions of a match are ANDed; matches of a rule are ORed."""
    matches = "matches: [{headers: [{name: x, value: '1'}, {name: y, value: '1'}]}, {method: POST}]"
    mesh.apply(gateway() + route(f"{{{matches}, {to('reviews-v1')}}}"))

    assert [
        mesh.request_shop(x="1").status,
        mesh.request_shop(x="1", y="1").status,
        mesh.request_shop(method="POST").status,
    ] == [
        404,
        200,
        200,
    ]


# Hostnames: HTTPRouteSpec.hostnames, Listener.hostname


def test_most_specific_hostname_wins(mesh: Mesh) -> None:
    """HTTPRouteSpec.hostnames. Matches are compared only within one hostname."""
    text = gateway() + route(rule(path("/a", "Exact"), "reviews-v1"), "wide", "hostnames: ['*.example'], ")
    mesh.apply(text + route(rule(path("/"), "reviews-v2"), "narrow", "hostnames: [shop.example], "))

    assert name_of(mesh.request_shop("/a", host="shop.example")) == "reviews-v2-1"
    assert name_of(mesh.request_shop("/a", host="a.b.example")) == "reviews-v1-1"
    assert mesh.request_shop("/a", host="example").status == 404


def test_listeners_of_one_port_are_isolated_by_hostname(mesh: Mesh) -> None:
    """GEP-1713: listeners of one port are isolated by hostname."""
    listeners = (
        "{name: wide, port: 80, protocol: HTTP, hostname: '*.example'}, "
        "{name: narrow, port: 80, protocol: HTTP, hostname: shop.example}"
    )
    mesh.apply(gateway(listeners) + route(rule("", "reviews-v1"), parent="{name: shop, sectionName: wide}"))

    assert name_of(mesh.request_shop(host="a.example")) == "reviews-v1-1"
    assert mesh.request_shop(host="shop.example").status == 404
    assert mesh.request_shop(host="elsewhere").status == 404


def test_route_can_select_a_listener_by_port(mesh: Mesh) -> None:
    """ParentReference.port (GEP-957)."""
    listeners = f"{LISTENER}, {{name: other, port: 81, protocol: HTTP}}"
    mesh.apply(gateway(listeners) + route(rule("", "reviews-v1"), parent="{name: shop, port: 81}"))

    assert (mesh.request_shop().status, mesh.request_shop(port=8081).status) == (404, 200)


def test_https_listener_presents_its_certificate_for_its_hostname(mesh: Mesh) -> None:
    """ListenerTLSConfig.certificateRefs. SNI selects the listener (Listener.hostname)."""
    names = ("a.example", "b.example")
    data = {name: yaml.safe_load(secret_manifest(name))["stringData"] for name in names}
    listeners = ", ".join(
        f"{{name: {name[0]}, port: 81, protocol: HTTPS, hostname: {name}, "
        f"tls: {{certificateRefs: [{{name: {name}}}]}}}}"
        for name in names
    )
    before = mesh.topology
    mesh.topology = replace(before, secrets=tuple(Secret(name, "default", data[name]) for name in names))
    try:
        mesh.apply(gateway(listeners) + route(rule("", "reviews-v1"), parent="{name: shop, sectionName: a}"))
        known = {name: ssl.create_default_context(cadata=data[name]["ca.crt"]) for name in names}

        assert {name: https(mesh, name, known[name]) for name in names} == {"a.example": 200, "b.example": 404}
        with pytest.raises(OSError, match=r"(?i)ssl|reset"):
            https(mesh, "c.example", known["a.example"])
    finally:
        mesh.topology = before


def https(mesh: Mesh, name: str, context: ssl.SSLContext) -> int:
    """The status of a response. The server must present a certificate for `name`."""
    with (
        socket.create_connection((mesh.shop, 8081), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as encrypted,
    ):
        encrypted.sendall(f"GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n".encode())
        return int(encrypted.recv(64).split()[1])


# Backends: HTTPRouteRule.backendRefs, BackendRef.weight


def test_backend_weights_share_requests_and_weight_0_receives_none(mesh: Mesh) -> None:
    mesh.apply(gateway() + route(f"{{{to('reviews-v1*3', 'reviews-v2*1', 'ratings*0')}}}"))

    received = Counter(name_of(mesh.request_shop()) for _ in range(200))

    assert set(received) == {"reviews-v1-1", "reviews-v2-1"}
    assert 110 <= received["reviews-v1-1"] <= 185


def test_share_of_an_invalid_backend_gets_500(mesh: Mesh) -> None:
    mesh.apply(gateway() + route(f"{{{to('reviews-v1', 'nowhere')}}}"))

    received = Counter(name_of(mesh.request_shop()) for _ in range(100))

    assert set(received) == {"reviews-v1-1", "500"}
    assert 20 <= received["500"] <= 80


@pytest.mark.parametrize("backends", [to("nowhere"), to("reviews-v1*0"), "name: none"])
def test_rule_without_valid_backend_is_500(mesh: Mesh, backends: str) -> None:
    mesh.apply(gateway() + route(f"{{{backends}}}"))

    assert mesh.request_shop().status == 500


def test_backend_without_endpoints_is_503(mesh: Mesh) -> None:
    mesh.apply(gateway() + route(rule("", "reviews-v9")))

    assert mesh.request_shop().status == 503


def test_backend_port_that_the_service_does_not_have_is_500(mesh: Mesh) -> None:
    mesh.apply(gateway() + route("{backendRefs: [{name: reviews-v1, port: 1}]}"))

    assert mesh.request_shop().status == 500


# Filters


def test_headers_of_the_request_are_set_added_and_removed(mesh: Mesh) -> None:
    """HTTPHeaderFilter."""
    modifier = "{set: [{name: a, value: new}], add: [{name: b, value: more}], remove: [c]}"
    filters = f"{{type: RequestHeaderModifier, requestHeaderModifier: {modifier}}}"
    mesh.apply(gateway() + route(rule("", "reviews-v1", filters)))

    headers = mesh.request_shop(a="old", b="one", c="gone").received["headers"]

    assert headers["a"] == "new"
    assert headers["b"] == "more"  # the application uses the last of several values
    assert "c" not in headers


def test_headers_of_the_response_of_one_backend_are_changed(mesh: Mesh) -> None:
    """HTTPBackendRef.filters."""
    filters = "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: by, value: v1}]}}]"
    mesh.apply(gateway() + route(f"{{backendRefs: [{{name: reviews-v1, port: 9080, {filters}}}]}}"))

    assert mesh.request_shop().headers["by"] == "v1"


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        ("{hostname: other.example}", "http://other.example/a/b?q=1"),
        ("{scheme: https, hostname: other.example}", "https://other.example/a/b?q=1"),
        ("{port: 8443, scheme: https}", "https://shop.example:8443/a/b?q=1"),
        ("{port: 443, scheme: https, hostname: other.example}", "https://other.example/a/b?q=1"),
        ("{scheme: https}", "https://shop.example/a/b?q=1"),
        ("{path: {type: ReplaceFullPath, replaceFullPath: /x}}", "http://shop.example/x?q=1"),
        ("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}", "http://shop.example/x/b?q=1"),
    ],
)
def test_redirect_keeps_the_parts_that_it_does_not_set(mesh: Mesh, redirect: str, location: str) -> None:
    """HTTPRequestRedirectFilter. The default status is 302."""
    mesh.apply(gateway() + route(rule(path("/a"), "", f"{{type: RequestRedirect, requestRedirect: {redirect}}}")))

    response = mesh.request_shop("/a/b?q=1", host="shop.example")

    assert (response.status, response.headers["location"]) == (302, location)


def test_redirect_uses_its_status_code(mesh: Mesh) -> None:
    filters = "{type: RequestRedirect, requestRedirect: {hostname: other.example, statusCode: 301}}"
    mesh.apply(gateway() + route(rule("", "", filters)))

    assert mesh.request_shop().status == 301


@pytest.mark.parametrize(
    ("prefix", "replacement", "asked", "sent"),
    [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "/", "/foo/bar?q=1", "/bar?q=1"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/", "/xyz", "/bar", "/xyz/bar"),
    ],
)
def test_prefix_is_rewritten_by_path_element(mesh: Mesh, prefix: str, replacement: str, asked: str, sent: str) -> None:
    """HTTPPathModifier.replacePrefixMatch: the table."""
    rewrite = f"{{path: {{type: ReplacePrefixMatch, replacePrefixMatch: '{replacement}'}}}}"
    mesh.apply(gateway() + route(rule(path(prefix), "reviews-v1", f"{{type: URLRewrite, urlRewrite: {rewrite}}}")))

    assert mesh.request_shop(asked).received["path"] == sent


def test_path_and_host_are_rewritten_for_the_backend(mesh: Mesh) -> None:
    """HTTPURLRewriteFilter."""
    rewrite = "{hostname: inside.example, path: {type: ReplaceFullPath, replaceFullPath: /all}}"
    mesh.apply(gateway() + route(rule("", "reviews-v1", f"{{type: URLRewrite, urlRewrite: {rewrite}}}")))

    received = mesh.request_shop("/some/where?q=1").received

    assert (received["path"], received["headers"]["host"]) == ("/all?q=1", "inside.example")


def mirrored(mesh: Mesh, share: str, count: int) -> int:
    """The number of `count` requests for reviews v1 that ratings also received."""
    mirror = f"{{backendRef: {{name: ratings, port: 9080}}{share}}}"
    mesh.apply(gateway() + route(rule("", "reviews-v1", f"{{type: RequestMirror, requestMirror: {mirror}}}")))
    assert {name_of(mesh.request_shop("/mirrored")) for _ in range(count)} == {"reviews-v1-1"}
    mesh.request_shop("/last")
    deadline = time.monotonic() + 5
    apps = [mesh.apps["ratings-v1-1"], mesh.apps["ratings-v1-2"]]
    while not share and sum(len(app.requests) for app in apps) <= count and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1 if share else 0)
    assert {host for app in apps for host in app.hosts} <= set(mesh.apps["reviews-v1-1"].hosts), "it keeps its host"
    return sum(app.requests.count("/mirrored") for app in apps)


def test_mirror_receives_every_request_and_its_response_is_ignored(mesh: Mesh) -> None:
    """HTTPRequestMirrorFilter."""
    assert mirrored(mesh, "", 20) == 20


@pytest.mark.parametrize("share", [", percent: 50", ", fraction: {numerator: 5, denominator: 10}"])
def test_mirror_can_receive_a_share_of_requests(mesh: Mesh, share: str) -> None:
    """HTTPRequestMirrorFilter.percent and .fraction (GEP-3171)."""
    assert 20 <= mirrored(mesh, share, 100) <= 80


def test_http_route_mirror_with_0_percent_receives_no_request(mesh: Mesh) -> None:
    assert mirrored(mesh, ", percent: 0", 20) == 0


# Timeouts: GEP-1742


@pytest.mark.parametrize(
    "timeouts", ["{request: 300ms}", "{backendRequest: 300ms}", "{request: 5s, backendRequest: 300ms}"]
)
def test_request_that_exceeds_its_timeout_is_504(mesh: Mesh, timeouts: str) -> None:
    mesh.apply(gateway() + route(rule("", "reviews-v1", more=f"timeouts: {timeouts}")))

    response = mesh.request_shop("/sleep/3")

    assert response.status == 504
    assert 0.25 <= response.seconds < 1.5


def test_timeout_of_zero_is_no_timeout(mesh: Mesh) -> None:
    """HTTPRouteTimeouts.request: a duration of zero disables it."""
    mesh.apply(gateway() + route(rule("", "reviews-v1", more="timeouts: {request: 0s}")))

    assert mesh.request_shop("/sleep/0.3").status == 200


# In the mesh: GEP-1426


REVIEWS = '{group: "", kind: Service, name: reviews}'


def test_route_of_a_service_replaces_its_default_route(mesh: Mesh) -> None:
    mesh.apply(route(rule("", "reviews-v2"), parent=REVIEWS))

    assert set(mesh.calls(20, "reviews")) == {"reviews-v2-1"}
    assert set(mesh.calls(20, "reviews-v1")) == {"reviews-v1-1"}


def test_request_that_matches_no_rule_of_a_service_route_is_404(mesh: Mesh) -> None:
    mesh.apply(route(rule(path("/a"), "reviews-v2"), parent=REVIEWS))

    assert (mesh.call("reviews", "/a").status, mesh.call("reviews", "/b").status) == (200, 404)


def test_route_of_a_service_can_select_one_port(mesh: Mesh) -> None:
    named = REVIEWS.replace("}", ", port: 9080}")
    mesh.apply(route(rule("", "reviews-v1"), parent=named))

    assert set(mesh.calls(10, "reviews")) == {"reviews-v1-1"}


def test_gateway_ignores_the_routes_of_a_service(mesh: Mesh) -> None:
    """GEP-1426: a backendRef refers to the endpoints of a Service, without its routes."""
    mesh.apply(gateway() + route(rule("", "reviews"), "edge") + route(rule("", "reviews-v2"), "mesh", parent=REVIEWS))

    assert {name_of(mesh.request_shop()) for _ in range(30)} == {"reviews-v1-1", "reviews-v2-1"}


def test_gateway_calls_with_its_own_identity(mesh: Mesh) -> None:
    """Istio: the service account of a Gateway's proxy is NAME-istio."""
    policy = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: reviews}\n"
        "spec: {selector: {matchLabels: {app: reviews}}, rules: [{from: [{source: {principals: "
        "[cluster.local/ns/default/sa/%s]}}]}]}\n---\n"
    )
    routed = gateway() + route(rule("", "reviews-v1"))
    mesh.apply(routed + policy % "shop-istio")
    assert mesh.request_shop().status == 200
    mesh.apply(routed + policy % "somebody")
    assert mesh.request_shop().status == 403


def test_policy_with_target_applies_to_the_gateway_only(mesh: Mesh) -> None:
    """Istio: AuthorizationPolicy.targetRefs, pilot/pkg/model/policyattachment.go."""
    target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: shop}]"
    mesh.apply(
        gateway() + route(rule("", "reviews-v1")) + "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: shop}}\nspec: {{{target}, rules: [{{to: [{{operation: {{paths: [/open]}}}}]}}]}}\n"
    )

    assert (mesh.request_shop("/open").status, mesh.request_shop("/closed").status) == (200, 403)
    assert (mesh.call("reviews", "/closed").status, mesh.request_gateway("/closed").status) == (200, 200)
