"""The routes of a VirtualService. Docstrings name the source in Istio (paths of github.com/istio/istio).

tests/lab/proxies tests the behavior of real proxies.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError

Translated = Callable[..., Any]
REVIEWS = "reviews.default.svc.cluster.local:9080"
SUBSETS = (
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\n"
    "spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}\n---\n"
)
TO = "route: [{destination: {host: reviews, subset: v1}}]"
OTHER = "route: [{destination: {host: reviews, subset: v2}}]"


def rules(http: str, more: str = "", hosts: str = "[reviews]") -> str:
    """The subsets of reviews, and a VirtualService with the HTTP routes `http` and the fields `more`."""
    return (
        f"{SUBSETS}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: mine}}\n"
        f"spec: {{hosts: {hosts}, {more}http: [{http}]}}\n"
    )


def target(route: Any) -> str:
    return str(route["route"]["cluster"])


# Order (route.BuildHTTPRoutesForVirtualService, pilot/pkg/networking/core/route/route.go)


def test_routes_keep_the_order_of_the_manifest_with_one_per_match(translated: Translated) -> None:
    match = "match: [{uri: {exact: /a}}, {uri: {prefix: /b}}]"

    routes = translated(rules(f"{{{match}, {TO}}}, {{{OTHER}}}")).routes(REVIEWS)

    assert [(route["match"].get("path"), route["match"].get("prefix")) for route in routes] == [
        ("/a", None),
        (None, "/b"),
        (None, "/"),
    ]


@pytest.mark.parametrize("match", ["", "match: [{uri: {prefix: /}}], ", "match: [{uri: {regex: '.*'}}], "])
def test_routes_after_a_catch_all_are_omitted(translated: Translated, match: str) -> None:
    routes = translated(rules(f"{{{match}{TO}}}, {{{OTHER}}}")).routes(REVIEWS)

    assert [target(route) for route in routes] == ["outbound|9080|v1|reviews.default.svc.cluster.local"]


def test_prefix_with_header_is_not_a_catch_all(translated: Translated) -> None:
    match = "match: [{uri: {prefix: /}, headers: {end-user: {exact: jason}}}]"

    assert len(translated(rules(f"{{{match}, {TO}}}, {{{OTHER}}}")).routes(REVIEWS)) == 2


# Conditions that the translation evaluates (sourceMatchHTTP, route.go)


def test_source_labels_are_evaluated_for_each_workload(translated: Translated) -> None:
    text = rules(f"{{match: [{{sourceLabels: {{app: ratings}}}}], {TO}}}, {{{OTHER}}}")

    assert len(translated(text, "ratings-v1").routes(REVIEWS)) == 1
    assert target(translated(text, "ratings-v1").routes(REVIEWS)[0]).split("|")[2] == "v1"
    assert target(translated(text, "productpage-v1").routes(REVIEWS)[0]).split("|")[2] == "v2"


def test_caller_without_a_matching_route_keeps_the_default_route(translated: Translated) -> None:
    """BuildSidecarVirtualHostWrapper."""
    text = rules(f"{{match: [{{sourceLabels: {{app: ratings}}}}], {TO}}}", hosts="[reviews, shop.example]")

    assert [target(route).split("|")[2] for route in translated(text, "ratings-v1").routes(REVIEWS)] == ["v1"]
    assert [target(route).split("|")[2] for route in translated(text, "productpage-v1").routes(REVIEWS)] == [""]
    names = [host["name"] for host in translated(text).config.routes["http_proxy"]["virtual_hosts"]]
    assert "shop.example:80" not in names


def test_gateways_of_a_match_replace_source_labels(translated: Translated) -> None:
    match = "match: [{gateways: [mesh], sourceLabels: {app: nobody}}]"

    assert len(translated(rules(f"{{{match}, {TO}}}, {{{OTHER}}}")).routes(REVIEWS)) == 1


def test_match_for_another_port_is_omitted(translated: Translated) -> None:
    routes = translated(rules(f"{{match: [{{port: 1}}], {TO}}}, {{{OTHER}}}")).routes(REVIEWS)

    assert [target(route).split("|")[2] for route in routes] == ["v2"]


def test_rule_for_a_gateway_does_not_apply_to_sidecars(translated: Translated) -> None:
    edge = "{servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]}"
    gateway = f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec: {edge}\n---\n"
    routes = translated(gateway + rules(f"{{{TO}}}", "gateways: [edge], ")).routes(REVIEWS)

    assert target(routes[0]) == "outbound|9080||reviews.default.svc.cluster.local"


# Matches (TranslateRouteMatch, route.go)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("uri: {exact: /a}", {"path": "/a", "case_sensitive": True}),
        ("uri: {prefix: /api}", {"prefix": "/api", "case_sensitive": True}),
        ("uri: {regex: '/a/[0-9]+'}", {"safe_regex": {"regex": "/a/[0-9]+"}, "case_sensitive": True}),
        ("uri: {exact: /a}, ignoreUriCase: true", {"path": "/a", "case_sensitive": False}),
    ],
)
def test_uri_match_is_translated(translated: Translated, match: str, expected: Any) -> None:
    assert translated(rules(f"{{match: [{{{match}}}], {TO}}}")).routes(REVIEWS)[0]["match"] == expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("headers: {b: {exact: x}, a: {prefix: y}}", [("a", {"prefix": "y"}), ("b", {"exact": "x"})]),
        ("headers: {a: {regex: '.*Firefox.*'}}", [("a", {"safe_regex": {"regex": ".*Firefox.*"}})]),
        ("method: {exact: GET}", [(":method", {"exact": "GET"})]),
        ("authority: {prefix: r}", [(":authority", {"prefix": "r"})]),
        ("scheme: {exact: http}", [(":scheme", {"exact": "http"})]),
    ],
)
def test_headers_are_sorted_by_name(translated: Translated, match: str, expected: Any) -> None:
    headers = translated(rules(f"{{match: [{{{match}}}], {TO}}}")).routes(REVIEWS)[0]["match"]["headers"]

    assert [(header["name"], header["string_match"]) for header in headers] == expected


@pytest.mark.parametrize("value", ["{}", "{regex: '*'}"])
def test_header_match_without_value_requires_the_header(translated: Translated, value: str) -> None:
    match = translated(rules(f"{{match: [{{headers: {{a: {value}}}}}], {TO}}}")).routes(REVIEWS)[0]["match"]

    assert match["headers"] == [{"name": "a", "present_match": True}]


def test_without_headers_matches_a_missing_header(translated: Translated) -> None:
    match = translated(rules(f"{{match: [{{withoutHeaders: {{a: {{exact: x}}}}}}], {TO}}}")).routes(REVIEWS)[0]["match"]

    assert match["headers"] == [
        {"name": "a", "string_match": {"exact": "x"}, "invert_match": True, "treat_missing_header_as_empty": True}
    ]


# Timeouts and retries (route/retry/retry.go)


def action(translated: Translated, more: str) -> Any:
    return translated(rules(f"{{{more}{', ' if more else ''}{TO}}}")).routes(REVIEWS)[0]["route"]


def test_no_timeout_is_no_limit(translated: Translated) -> None:
    assert action(translated, "")["timeout"] == "0s"
    assert action(translated, "timeout: 0.5s")["timeout"] == "0.5s"


def test_default_retry_policy_is_that_of_the_mesh(translated: Translated) -> None:
    policy = action(translated, "")["retry_policy"]

    assert policy["num_retries"] == 2
    assert policy["retry_on"] == "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    assert "retriable_status_codes" not in policy
    assert policy["host_selection_retry_max_attempts"] == 5


def test_codes_in_retry_on_become_retriable_status_codes(translated: Translated) -> None:
    retries = 'retries: {attempts: 3, perTryTimeout: 200ms, backoff: 10ms, retryOn: "gateway-error,503"}'

    policy = action(translated, retries)["retry_policy"]

    assert policy["retry_on"] == "gateway-error,retriable-status-codes"
    assert policy["retriable_status_codes"] == [503]
    assert policy["per_try_timeout"] == "0.2s"
    assert policy["retry_back_off"] == {"base_interval": "0.01s"}


def test_retry_can_use_previous_hosts_if_the_rule_allows_it(translated: Translated) -> None:
    policy = action(translated, "retries: {attempts: 1, retryIgnorePreviousHosts: false}")["retry_policy"]

    assert "retry_host_predicate" not in policy


def test_retry_can_use_remote_localities(translated: Translated) -> None:
    policy = action(translated, "retries: {attempts: 1, retryRemoteLocalities: true}")["retry_policy"]

    assert policy["retry_priority"]["name"] == "envoy.retry_priorities.previous_priorities"


def test_match_can_set_a_stat_prefix(translated: Translated) -> None:
    (route, _) = translated(rules(f"{{match: [{{uri: {{exact: /a}}, statPrefix: a}}], {TO}}}, {{{TO}}}")).routes(
        REVIEWS
    )

    assert route["stat_prefix"] == "a"


def test_retry_with_consistent_hash_uses_the_same_endpoint(translated: Translated) -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
        "spec: {host: ratings, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: end-user}}}}"
    )

    route = translated(text).routes("ratings.default.svc.cluster.local:9080")[0]["route"]

    assert route["hash_policy"] == [{"header": {"header_name": "end-user"}}]
    assert "retry_host_predicate" not in route["retry_policy"]


def test_sidecar_does_not_retry_requests_that_reached_its_application(translated: Translated) -> None:
    """Istio: buildSidecarInboundHTTPRouteConfig, pilot/pkg/networking/core/httproute.go."""
    (host,) = translated(proxy="reviews-v1").config.routes["inbound|9080||"]["virtual_hosts"]

    assert host["routes"][0]["route"]["timeout"] == "0s"
    assert host["routes"][0]["route"]["retry_policy"] == {"retry_on": "reset-before-request", "num_retries": 2}


# Faults and mirrors


def filters(translated: Translated, more: str) -> Any:
    return translated(rules(f"{{{more}, {TO}}}")).routes(REVIEWS)[0]["typed_per_filter_config"]


def test_percentage_is_translated_to_millionths(translated: Translated) -> None:
    fault = filters(translated, "fault: {abort: {httpStatus: 500, percentage: {value: 12.5}}}")[
        "envoy.filters.http.fault"
    ]

    assert fault["abort"]["percentage"] == {"numerator": 125_000, "denominator": "MILLION"}


def test_deprecated_integer_percent_of_a_delay_is_supported(translated: Translated) -> None:
    fault = filters(translated, "fault: {delay: {fixedDelay: 7s, percent: 100}}")["envoy.filters.http.fault"]

    assert fault["delay"] == {
        "fixed_delay": "7s",
        "percentage": {"numerator": 1_000_000, "denominator": "MILLION"},
    }


# Weights (processWeightedDestinations, route.go)


def test_weight_of_a_single_destination_is_ignored(translated: Translated) -> None:
    routes = translated(rules("{route: [{destination: {host: reviews, subset: v1}, weight: 0}]}")).routes(REVIEWS)

    assert target(routes[0]).split("|")[2] == "v1"


def test_weights_need_not_sum_to_100(translated: Translated) -> None:
    both = (
        "{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 2}"
    )

    weighted = translated(rules(f"{{route: [{both}]}}")).routes(REVIEWS)[0]["route"]["weighted_clusters"]["clusters"]

    assert [entry["weight"] for entry in weighted] == [1, 2]


# Names (model.ResolveShortnameToFQDN, generateVirtualHostDomains)


def test_host_has_every_name_in_its_own_namespace(translated: Translated) -> None:
    assert translated().host(REVIEWS)["domains"] == [
        "reviews:9080",
        "reviews.default:9080",
        "reviews.default.svc:9080",
        "reviews.default.svc.cluster.local:9080",
    ]


def test_short_name_is_unknown_in_another_namespace(translated: Translated) -> None:
    assert "reviews:9080" not in translated(proxy="far-v1").host(REVIEWS)["domains"]


def test_port_80_can_be_omitted_and_each_port_has_its_cluster(translated: Translated) -> None:
    first, second = (translated().host(f"two-ports.default.svc.cluster.local:{port}") for port in (80, 81))

    assert "two-ports" in first["domains"]
    assert "two-ports:80" in first["domains"]
    assert second["domains"][0] == "two-ports:81"
    assert target(second["routes"][0]) == "outbound|81||two-ports.default.svc.cluster.local"


def test_destination_with_several_ports_requires_a_port(translated: Translated) -> None:
    with pytest.raises(ManifestError) as caught:
        translated(rules("{route: [{destination: {host: two-ports}}]}"))
    assert (caught.value.code, caught.value.field) == ("port-required", "spec.http[0].route[0].destination")


@pytest.mark.parametrize(
    ("destination", "code", "field"),
    [
        ("host: reviwes", "host-not-found", "host"),
        ("host: reviews, subset: v7", "subset-not-found", "subset"),
        ("host: ratings, subset: v1", "subset-not-found", "subset"),
        ("host: reviews, port: {number: 80}", "port-not-found", "port"),
    ],
)
def test_missing_destination_is_rejected(translated: Translated, destination: str, code: str, field: str) -> None:
    """Istio accepts it, and such requests fail with 503."""
    with pytest.raises(ManifestError) as caught:
        translated(rules(f"{{route: [{{destination: {{{destination}}}}}]}}"))

    assert (caught.value.code, caught.value.field) == (code, f"spec.http[0].route[0].destination.{field}")


# Rewrites, redirects and headers


def test_redirect_is_permanent_by_default(translated: Translated) -> None:
    assert translated(rules("{redirect: {uri: /a}}")).routes(REVIEWS)[0]["redirect"] == {
        "response_code": "MOVED_PERMANENTLY",
        "path_redirect": "/a",
    }
    assert translated(rules("{redirect: {authority: a, redirectCode: 302}}")).routes(REVIEWS)[0]["redirect"] == {
        "response_code": "FOUND",
        "host_redirect": "a",
    }


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ("authority: a, port: 8443", 8443),
        ("authority: a, derivePort: FROM_REQUEST_PORT", 9080),
        ("authority: a, derivePort: FROM_PROTOCOL_DEFAULT", None),
        ("scheme: https, port: 443", None),
        ("scheme: https, port: 80", 80),
        ("authority: a, port: 80", None),
    ],
)
def test_redirect_omits_the_default_port_of_the_scheme(translated: Translated, redirect: str, port: int | None) -> None:
    """ApplyRedirect, route.go."""
    assert (
        translated(rules(f"{{redirect: {{{redirect}}}}}")).routes(REVIEWS)[0]["redirect"].get("port_redirect") == port
    )


def test_set_host_header_rewrites_the_host(translated: Translated) -> None:
    assert action(translated, "headers: {request: {set: {Host: a.example}}}")["host_rewrite_literal"] == "a.example"


def test_added_host_header_rewrites_the_host_unless_one_is_set(translated: Translated) -> None:
    """TranslateHeadersOperations, route.go."""
    assert action(translated, "headers: {request: {add: {host: a.example}}}")["host_rewrite_literal"] == "a.example"
    both = "headers: {request: {add: {host: a.example}, set: {':authority': b.example}}}"
    assert action(translated, both)["host_rewrite_literal"] == "b.example"


def test_destination_can_rewrite_the_host(translated: Translated) -> None:
    """processWeightedDestination, route.go."""
    own = "headers: {request: {set: {Host: a.example, x: y}}}"
    other = "{destination: {host: reviews, subset: v2}, weight: 1}"
    route = f"{{route: [{{destination: {{host: reviews, subset: v1}}, weight: 1, {own}}}, {other}]}}"

    shares = translated(rules(route)).routes(REVIEWS)[0]["route"]["weighted_clusters"]["clusters"]

    assert [share.get("host_rewrite_literal") for share in shares] == ["a.example", None]
    assert [change["header"]["key"] for change in shares[0]["request_headers_to_add"]] == ["x"]


def test_regex_rewrite_keeps_its_groups(translated: Translated) -> None:
    rewrite = r"rewrite: {uriRegexRewrite: {match: '/a/(\d+)', rewrite: '/b/\1'}}"

    assert action(translated, rewrite)["regex_rewrite"] == {"pattern": {"regex": r"/a/(\d+)"}, "substitution": r"/b/\1"}


# One rule per host


def test_two_virtual_services_for_one_host_are_rejected(translated: Translated) -> None:
    """Istio would silently use one of them."""
    second = rules(f"{{{TO}}}").removeprefix(SUBSETS).replace("name: mine", "name: other")

    with pytest.raises(ManifestError) as caught:
        translated(f"{rules(f'{{{TO}}}')}---\n{second}")
    assert (caught.value.code, caught.value.field) == ("host-already-routed", "spec.hosts[0]")


def test_two_destination_rules_for_one_host_are_rejected(translated: Translated) -> None:
    with pytest.raises(ManifestError) as caught:
        translated(f"{SUBSETS}\n{SUBSETS.replace('name: reviews', 'name: other')}")
    assert (caught.value.code, caught.value.field) == ("host-already-configured", "spec.host")


def entry(name: str, host: str, port: int = 80, namespace: str = "default") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{hosts: [{host}], ports: [{{number: {port}, name: http, protocol: HTTP}}], resolution: DNS}}\n---\n"
    )


@pytest.mark.parametrize("host", ["reviews", "reviews.default", "reviews.default.svc.cluster.local"])
def test_service_entry_for_the_host_of_a_service_is_rejected(translated: Translated, host: str) -> None:
    with pytest.raises(ManifestError) as caught:
        translated(entry("mine", host))
    assert (caught.value.code, caught.value.field, caught.value.line) == ("host-already-defined", "spec.hosts[0]", 4)


def test_short_name_of_a_service_in_another_namespace_is_available(translated: Translated) -> None:
    translated(entry("mine", "reviews", namespace="other"))


def test_two_service_entries_for_one_host_are_rejected(translated: Translated) -> None:
    with pytest.raises(ManifestError) as caught:
        translated(entry("mine", "a.example") + entry("other", "a.example", 81))
    assert caught.value.code == "host-already-defined"


@pytest.mark.parametrize("name", ["far.other", "far.other.svc", "far.other.svc.cluster.local"])
def test_service_entry_endpoint_can_be_any_name_of_a_service(translated: Translated, name: str) -> None:
    text = entry("mine", "a.example", 9080).replace("hosts:", f"endpoints: [{{address: {name}}}], hosts:")

    endpoints = translated(text).cluster("outbound|9080||a.example")["load_assignment"]["endpoints"][0]["lb_endpoints"]

    assert [item["endpoint"]["address"]["socket_address"]["address"] for item in endpoints] == ["127.64.0.14"]


def test_exact_host_precedes_wildcard(translated: Translated) -> None:
    wild = rules(f"{{{OTHER}}}", hosts="['*.default.svc.cluster.local']").removeprefix(SUBSETS)
    wild = wild.replace("name: mine", "name: wild")

    text = f"{wild}---\n{rules(f'{{{TO}}}')}"

    assert target(translated(text).routes(REVIEWS)[0]).split("|")[2] == "v1"
    assert target(translated(text).routes("ratings.default.svc.cluster.local:9080")[0]).split("|")[2] == "v2"


def test_destinations_of_imported_rules_are_reachable(translated: Translated) -> None:
    scope = "{egress: [{hosts: ['*/reviews.default.svc.cluster.local']}]}"
    sidecar = f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: few}}\nspec: {scope}\n---\n"
    copied = "mirror: {host: far.other.svc.cluster.local}"

    found = translated(sidecar + rules(f"{{route: [{{destination: {{host: ratings}}}}], {copied}}}"))

    hosts = {name.rpartition("|")[2].partition(".")[0] for name in found.clusters if name.startswith("outbound")}
    assert hosts == {"reviews", "ratings", "far"}
    assert not [host for host in found.config.routes["http_proxy"]["virtual_hosts"] if "ratings" in host["name"]]


def test_host_of_a_virtual_service_alone_is_served_on_port_80(translated: Translated) -> None:
    assert translated(rules(f"{{{TO}}}", hosts="[shop.example]")).host("shop.example:80")["domains"] == [
        "shop.example",
        "shop.example:80",
    ]


def test_wildcard_of_a_virtual_service_alone_is_served_on_port_80(translated: Translated) -> None:
    wild = "*.shop.example"
    assert translated(rules(f"{{{TO}}}", hosts=f"['{wild}']")).host(f"{wild}:80")["domains"] == [wild, f"{wild}:80"]


def test_rule_that_is_not_exported_does_not_apply_to_other_namespaces(translated: Translated) -> None:
    text = rules(f"{{{TO}}}", "exportTo: ['.'], ")

    assert target(translated(text).routes(REVIEWS)[0]).split("|")[2] == "v1"
    assert target(translated(text, "far-v1").routes(REVIEWS)[0]).split("|")[2] == ""
