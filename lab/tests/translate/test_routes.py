"""VirtualService as routes. Each test of a subtle rule says where Istio decides it (paths of github.com/istio/istio).

What can be seen on the wire is tested there: tests/lab/proxies.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError

Rendered = Callable[..., Any]
REVIEWS = "reviews.default.svc.cluster.local:9080"
SUBSETS = (
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\n"
    "spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}\n---\n"
)
TO = "route: [{destination: {host: reviews, subset: v1}}]"
OTHER = "route: [{destination: {host: reviews, subset: v2}}]"


def rules(http: str, more: str = "", hosts: str = "[reviews]") -> str:
    return (
        f"{SUBSETS}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: mine}}\n"
        f"spec: {{hosts: {hosts}, {more}http: [{http}]}}\n"
    )


def target(route: Any) -> str:
    return str(route["route"]["cluster"])


# 1. Order (route.BuildHTTPRoutesForVirtualService, pilot/pkg/networking/core/route/route.go)


def test_routes_keep_the_manifests_order_and_each_match_is_one(rendered: Rendered) -> None:
    match = "match: [{uri: {exact: /a}}, {uri: {prefix: /b}}]"

    routes = rendered(rules(f"{{{match}, {TO}}}, {{{OTHER}}}")).routes(REVIEWS)

    assert [(route["match"].get("path"), route["match"].get("prefix")) for route in routes] == [
        ("/a", None),
        (None, "/b"),
        (None, "/"),
    ]


@pytest.mark.parametrize("match", ["", "match: [{uri: {prefix: /}}], ", "match: [{uri: {regex: '.*'}}], "])
def test_what_follows_a_catch_all_is_dead(rendered: Rendered, match: str) -> None:
    routes = rendered(rules(f"{{{match}{TO}}}, {{{OTHER}}}")).routes(REVIEWS)

    assert [target(route) for route in routes] == ["outbound|9080|v1|reviews.default.svc.cluster.local"]


def test_a_prefix_with_a_header_is_no_catch_all(rendered: Rendered) -> None:
    match = "match: [{uri: {prefix: /}, headers: {end-user: {exact: jason}}}]"

    assert len(rendered(rules(f"{{{match}, {TO}}}, {{{OTHER}}}")).routes(REVIEWS)) == 2


# 2. What is decided while translating (sourceMatchHTTP, route.go)


def test_source_labels_are_decided_for_each_workload(rendered: Rendered) -> None:
    text = rules(f"{{match: [{{sourceLabels: {{app: ratings}}}}], {TO}}}, {{{OTHER}}}")

    assert len(rendered(text, "ratings-v1").routes(REVIEWS)) == 1
    assert target(rendered(text, "ratings-v1").routes(REVIEWS)[0]).split("|")[2] == "v1"
    assert target(rendered(text, "productpage-v1").routes(REVIEWS)[0]).split("|")[2] == "v2"


def test_a_caller_for_whom_a_rule_has_nothing_keeps_what_it_had(rendered: Rendered) -> None:
    """BuildSidecarVirtualHostWrapper: without a route of the rule's the service has its default one."""
    text = rules(f"{{match: [{{sourceLabels: {{app: ratings}}}}], {TO}}}", hosts="[reviews, shop.example]")

    assert [target(route).split("|")[2] for route in rendered(text, "ratings-v1").routes(REVIEWS)] == ["v1"]
    assert [target(route).split("|")[2] for route in rendered(text, "productpage-v1").routes(REVIEWS)] == [""]
    names = [host["name"] for host in rendered(text).config.routes["http_proxy"]["virtual_hosts"]]
    assert "shop.example:80" not in names


def test_gateways_of_a_match_take_the_place_of_source_labels(rendered: Rendered) -> None:
    match = "match: [{gateways: [mesh], sourceLabels: {app: nobody}}]"

    assert len(rendered(rules(f"{{{match}, {TO}}}, {{{OTHER}}}")).routes(REVIEWS)) == 1


def test_a_match_of_another_port_is_left_out(rendered: Rendered) -> None:
    routes = rendered(rules(f"{{match: [{{port: 1}}], {TO}}}, {{{OTHER}}}")).routes(REVIEWS)

    assert [target(route).split("|")[2] for route in routes] == ["v2"]


def test_a_rule_for_a_gateway_alone_does_not_touch_the_mesh(rendered: Rendered) -> None:
    edge = "{servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]}"
    gateway = f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec: {edge}\n---\n"
    routes = rendered(gateway + rules(f"{{{TO}}}", "gateways: [edge], ")).routes(REVIEWS)

    assert target(routes[0]) == "outbound|9080||reviews.default.svc.cluster.local"


# 3. Matches (TranslateRouteMatch, route.go)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("uri: {exact: /a}", {"path": "/a", "case_sensitive": True}),
        ("uri: {prefix: /api}", {"prefix": "/api", "case_sensitive": True}),
        ("uri: {regex: '/a/[0-9]+'}", {"safe_regex": {"regex": "/a/[0-9]+"}, "case_sensitive": True}),
        ("uri: {exact: /a}, ignoreUriCase: true", {"path": "/a", "case_sensitive": False}),
    ],
)
def test_a_path_is_matched_as_written(rendered: Rendered, match: str, expected: Any) -> None:
    assert rendered(rules(f"{{match: [{{{match}}}], {TO}}}")).routes(REVIEWS)[0]["match"] == expected


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
def test_headers_are_sorted_by_name(rendered: Rendered, match: str, expected: Any) -> None:
    headers = rendered(rules(f"{{match: [{{{match}}}], {TO}}}")).routes(REVIEWS)[0]["match"]["headers"]

    assert [(header["name"], header["string_match"]) for header in headers] == expected


@pytest.mark.parametrize("value", ["{}", "{regex: '*'}"])
def test_a_header_without_a_value_has_to_be_there(rendered: Rendered, value: str) -> None:
    match = rendered(rules(f"{{match: [{{headers: {{a: {value}}}}}], {TO}}}")).routes(REVIEWS)[0]["match"]

    assert match["headers"] == [{"name": "a", "present_match": True}]


def test_a_header_that_must_not_have_a_value_may_be_missing(rendered: Rendered) -> None:
    match = rendered(rules(f"{{match: [{{withoutHeaders: {{a: {{exact: x}}}}}}], {TO}}}")).routes(REVIEWS)[0]["match"]

    assert match["headers"] == [
        {"name": "a", "string_match": {"exact": "x"}, "invert_match": True, "treat_missing_header_as_empty": True}
    ]


# 4. and 5. Time limits and retries (route/retry/retry.go)


def action(rendered: Rendered, more: str) -> Any:
    return rendered(rules(f"{{{more}{', ' if more else ''}{TO}}}")).routes(REVIEWS)[0]["route"]


def test_no_timeout_is_no_limit(rendered: Rendered) -> None:
    assert action(rendered, "")["timeout"] == "0s"
    assert action(rendered, "timeout: 0.5s")["timeout"] == "0.5s"


def test_the_default_retry_is_the_meshs(rendered: Rendered) -> None:
    policy = action(rendered, "")["retry_policy"]

    assert policy["num_retries"] == 2
    assert policy["retry_on"] == "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    assert "retriable_status_codes" not in policy
    assert policy["host_selection_retry_max_attempts"] == 5


def test_codes_in_retry_on_become_retriable_status_codes(rendered: Rendered) -> None:
    retries = 'retries: {attempts: 3, perTryTimeout: 200ms, backoff: 10ms, retryOn: "gateway-error,503"}'

    policy = action(rendered, retries)["retry_policy"]

    assert policy["retry_on"] == "gateway-error,retriable-status-codes"
    assert policy["retriable_status_codes"] == [503]
    assert policy["per_try_timeout"] == "0.2s"
    assert policy["retry_back_off"] == {"base_interval": "0.01s"}


def test_previous_hosts_may_be_met_again_if_the_rule_says_so(rendered: Rendered) -> None:
    policy = action(rendered, "retries: {attempts: 1, retryIgnorePreviousHosts: false}")["retry_policy"]

    assert "retry_host_predicate" not in policy


def test_a_retry_can_be_told_to_leave_the_locality(rendered: Rendered) -> None:
    policy = action(rendered, "retries: {attempts: 1, retryRemoteLocalities: true}")["retry_policy"]

    assert policy["retry_priority"]["name"] == "envoy.retry_priorities.previous_priorities"


def test_a_match_can_have_statistics_of_its_own(rendered: Rendered) -> None:
    (route, _) = rendered(rules(f"{{match: [{{uri: {{exact: /a}}, statPrefix: a}}], {TO}}}, {{{TO}}}")).routes(REVIEWS)

    assert route["stat_prefix"] == "a"


def test_with_a_hash_a_retry_goes_to_the_same_host(rendered: Rendered) -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
        "spec: {host: ratings, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: end-user}}}}"
    )

    route = rendered(text).routes("ratings.default.svc.cluster.local:9080")[0]["route"]

    assert route["hash_policy"] == [{"header": {"header_name": "end-user"}}]
    assert "retry_host_predicate" not in route["retry_policy"]


def test_what_an_application_has_begun_to_answer_is_not_tried_again_by_its_own_sidecar(rendered: Rendered) -> None:
    """Istio: buildSidecarInboundHTTPRouteConfig, pilot/pkg/networking/core/httproute.go."""
    (host,) = rendered(proxy="reviews-v1").config.routes["inbound|9080||"]["virtual_hosts"]

    assert host["routes"][0]["route"]["timeout"] == "0s"
    assert host["routes"][0]["route"]["retry_policy"] == {"retry_on": "reset-before-request", "num_retries": 2}


# 6. Faults and mirrors


def filters(rendered: Rendered, more: str) -> Any:
    return rendered(rules(f"{{{more}, {TO}}}")).routes(REVIEWS)[0]["typed_per_filter_config"]


def test_a_share_is_counted_in_millionths(rendered: Rendered) -> None:
    fault = filters(rendered, "fault: {abort: {httpStatus: 500, percentage: {value: 12.5}}}")[
        "envoy.filters.http.fault"
    ]

    assert fault["abort"]["percentage"] == {"numerator": 125_000, "denominator": "MILLION"}


def test_the_older_integer_percent_of_a_delay_counts(rendered: Rendered) -> None:
    fault = filters(rendered, "fault: {delay: {fixedDelay: 7s, percent: 100}}")["envoy.filters.http.fault"]

    assert fault["delay"] == {
        "fixed_delay": "7s",
        "percentage": {"numerator": 1_000_000, "denominator": "MILLION"},
    }


# 7. Weights (processWeightedDestinations, route.go)


def test_a_single_destinations_weight_means_nothing(rendered: Rendered) -> None:
    routes = rendered(rules("{route: [{destination: {host: reviews, subset: v1}, weight: 0}]}")).routes(REVIEWS)

    assert target(routes[0]).split("|")[2] == "v1"


def test_weights_need_not_sum_to_100(rendered: Rendered) -> None:
    both = (
        "{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 2}"
    )

    weighted = rendered(rules(f"{{route: [{both}]}}")).routes(REVIEWS)[0]["route"]["weighted_clusters"]["clusters"]

    assert [entry["weight"] for entry in weighted] == [1, 2]


# 10. Names (model.ResolveShortnameToFQDN, generateVirtualHostDomains)


def test_a_host_answers_to_each_of_its_names_from_its_own_namespace(rendered: Rendered) -> None:
    assert rendered().host(REVIEWS)["domains"] == [
        "reviews:9080",
        "reviews.default:9080",
        "reviews.default.svc:9080",
        "reviews.default.svc.cluster.local:9080",
    ]


def test_the_bare_name_is_not_known_in_another_namespace(rendered: Rendered) -> None:
    assert "reviews:9080" not in rendered(proxy="far-v1").host(REVIEWS)["domains"]


def test_https_own_port_may_be_left_out_and_each_port_has_its_cluster(rendered: Rendered) -> None:
    first, second = (rendered().host(f"two-ports.default.svc.cluster.local:{port}") for port in (80, 81))

    assert "two-ports" in first["domains"]
    assert "two-ports:80" in first["domains"]
    assert second["domains"][0] == "two-ports:81"
    assert target(second["routes"][0]) == "outbound|81||two-ports.default.svc.cluster.local"


def test_a_destination_of_several_ports_must_name_one(rendered: Rendered) -> None:
    with pytest.raises(ManifestError) as caught:
        rendered(rules("{route: [{destination: {host: two-ports}}]}"))
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
def test_missing_destination_is_rejected(rendered: Rendered, destination: str, code: str, field: str) -> None:
    """Istio takes it, and such requests fail with 503."""
    with pytest.raises(ManifestError) as caught:
        rendered(rules(f"{{route: [{{destination: {{{destination}}}}}]}}"))

    assert (caught.value.code, caught.value.field) == (code, f"spec.http[0].route[0].destination.{field}")


# 11. Rewrites, redirects and headers


def test_a_redirect_is_permanent_unless_it_says_otherwise(rendered: Rendered) -> None:
    assert rendered(rules("{redirect: {uri: /a}}")).routes(REVIEWS)[0]["redirect"] == {
        "response_code": "MOVED_PERMANENTLY",
        "path_redirect": "/a",
    }
    assert rendered(rules("{redirect: {authority: a, redirectCode: 302}}")).routes(REVIEWS)[0]["redirect"] == {
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
def test_the_port_of_a_redirect_is_written_out_unless_it_is_the_schemes_own(
    rendered: Rendered, redirect: str, port: int | None
) -> None:
    """ApplyRedirect, route.go."""
    assert rendered(rules(f"{{redirect: {{{redirect}}}}}")).routes(REVIEWS)[0]["redirect"].get("port_redirect") == port


def test_a_host_header_that_is_set_rewrites_the_host(rendered: Rendered) -> None:
    assert action(rendered, "headers: {request: {set: {Host: a.example}}}")["host_rewrite_literal"] == "a.example"


def test_a_host_that_is_added_rewrites_it_too_unless_one_is_set(rendered: Rendered) -> None:
    """TranslateHeadersOperations, route.go."""
    assert action(rendered, "headers: {request: {add: {host: a.example}}}")["host_rewrite_literal"] == "a.example"
    both = "headers: {request: {add: {host: a.example}, set: {':authority': b.example}}}"
    assert action(rendered, both)["host_rewrite_literal"] == "b.example"


def test_a_destination_can_set_the_host_for_itself(rendered: Rendered) -> None:
    """processWeightedDestination, route.go."""
    own = "headers: {request: {set: {Host: a.example, x: y}}}"
    other = "{destination: {host: reviews, subset: v2}, weight: 1}"
    route = f"{{route: [{{destination: {{host: reviews, subset: v1}}, weight: 1, {own}}}, {other}]}}"

    shares = rendered(rules(route)).routes(REVIEWS)[0]["route"]["weighted_clusters"]["clusters"]

    assert [share.get("host_rewrite_literal") for share in shares] == ["a.example", None]
    assert [change["header"]["key"] for change in shares[0]["request_headers_to_add"]] == ["x"]


def test_a_regex_rewrite_keeps_its_groups(rendered: Rendered) -> None:
    rewrite = r"rewrite: {uriRegexRewrite: {match: '/a/(\d+)', rewrite: '/b/\1'}}"

    assert action(rendered, rewrite)["regex_rewrite"] == {"pattern": {"regex": r"/a/(\d+)"}, "substitution": r"/b/\1"}


# One rule for a host


def test_two_mesh_rules_for_one_host_are_refused(rendered: Rendered) -> None:
    """Istio would follow one of them and say nothing."""
    second = rules(f"{{{TO}}}").removeprefix(SUBSETS).replace("name: mine", "name: other")

    with pytest.raises(ManifestError) as caught:
        rendered(f"{rules(f'{{{TO}}}')}---\n{second}")
    assert (caught.value.code, caught.value.field) == ("host-already-routed", "spec.hosts[0]")


def test_two_destination_rules_for_one_host_are_refused(rendered: Rendered) -> None:
    with pytest.raises(ManifestError) as caught:
        rendered(f"{SUBSETS}\n{SUBSETS.replace('name: reviews', 'name: other')}")
    assert (caught.value.code, caught.value.field) == ("host-already-configured", "spec.host")


def entry(name: str, host: str, port: int = 80, namespace: str = "default") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{hosts: [{host}], ports: [{{number: {port}, name: http, protocol: HTTP}}], resolution: DNS}}\n---\n"
    )


@pytest.mark.parametrize("host", ["reviews", "reviews.default", "reviews.default.svc.cluster.local"])
def test_an_entry_for_the_host_of_a_service_is_refused(rendered: Rendered, host: str) -> None:
    with pytest.raises(ManifestError) as caught:
        rendered(entry("mine", host))
    assert (caught.value.code, caught.value.field, caught.value.line) == ("host-already-defined", "spec.hosts[0]", 4)


def test_a_service_of_another_namespace_leaves_its_short_name_free(rendered: Rendered) -> None:
    rendered(entry("mine", "reviews", namespace="other"))


def test_two_entries_for_one_host_are_refused(rendered: Rendered) -> None:
    with pytest.raises(ManifestError) as caught:
        rendered(entry("mine", "a.example") + entry("other", "a.example", 81))
    assert caught.value.code == "host-already-defined"


@pytest.mark.parametrize("name", ["far.other", "far.other.svc", "far.other.svc.cluster.local"])
def test_an_endpoint_may_name_a_service_by_any_of_its_names(rendered: Rendered, name: str) -> None:
    text = entry("mine", "a.example", 9080).replace("hosts:", f"endpoints: [{{address: {name}}}], hosts:")

    endpoints = rendered(text).cluster("outbound|9080||a.example")["load_assignment"]["endpoints"][0]["lb_endpoints"]

    assert [item["endpoint"]["address"]["socket_address"]["address"] for item in endpoints] == ["127.64.0.14"]


def test_an_exact_host_goes_before_a_wildcard(rendered: Rendered) -> None:
    wild = rules(f"{{{OTHER}}}", hosts="['*.default.svc.cluster.local']").removeprefix(SUBSETS)
    wild = wild.replace("name: mine", "name: wild")

    text = f"{wild}---\n{rules(f'{{{TO}}}')}"

    assert target(rendered(text).routes(REVIEWS)[0]).split("|")[2] == "v1"
    assert target(rendered(text).routes("ratings.default.svc.cluster.local:9080")[0]).split("|")[2] == "v2"


def test_where_a_rule_leads_is_reached_though_a_sidecar_does_not_name_it(rendered: Rendered) -> None:
    scope = "{egress: [{hosts: ['*/reviews.default.svc.cluster.local']}]}"
    sidecar = f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: few}}\nspec: {scope}\n---\n"
    copied = "mirror: {host: far.other.svc.cluster.local}"

    found = rendered(sidecar + rules(f"{{route: [{{destination: {{host: ratings}}}}], {copied}}}"))

    hosts = {name.rpartition("|")[2].partition(".")[0] for name in found.clusters if name.startswith("outbound")}
    assert hosts == {"reviews", "ratings", "far"}
    assert not [host for host in found.config.routes["http_proxy"]["virtual_hosts"] if "ratings" in host["name"]]


def test_a_host_that_only_a_rule_names_is_served_on_https_own_port(rendered: Rendered) -> None:
    assert rendered(rules(f"{{{TO}}}", hosts="[shop.example]")).host("shop.example:80")["domains"] == [
        "shop.example",
        "shop.example:80",
    ]


def test_so_is_a_wildcard_that_no_host_is(rendered: Rendered) -> None:
    wild = "*.shop.example"
    assert rendered(rules(f"{{{TO}}}", hosts=f"['{wild}']")).host(f"{wild}:80")["domains"] == [wild, f"{wild}:80"]


def test_a_rule_that_is_not_exported_does_not_hold_elsewhere(rendered: Rendered) -> None:
    text = rules(f"{{{TO}}}", "exportTo: ['.'], ")

    assert target(rendered(text).routes(REVIEWS)[0]).split("|")[2] == "v1"
    assert target(rendered(text, "far-v1").routes(REVIEWS)[0]).split("|")[2] == ""
