"""DestinationRule, PeerAuthentication, AuthorizationPolicy and the rest, as clusters and filters."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Secret, Topology
from bookinfo_lab.translate import translate
from bookinfo_lab.translate.authorization import ALLOW_FILTER, DENY_FILTER, filter_config

Rendered = Callable[..., Any]
HOST = "reviews.default.svc.cluster.local"


def rule(spec: str, name: str = "reviews", namespace: str = "default") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


def cluster(rendered: Rendered, spec: str, subset: str = "", proxy: str = "productpage-v1") -> Any:
    return rendered(rule(f"host: reviews, {spec}"), proxy).cluster(f"outbound|9080|{subset}|{HOST}")


def limit(pool: Any) -> tuple[int, int]:
    thresholds = pool["circuit_breakers"]["thresholds"][0]
    return thresholds["max_connections"], thresholds["max_pending_requests"]


# 8. What holds where (util.MergeSubsetTrafficPolicy, pilot/pkg/networking/util/util.go)

POOL = "connectionPool: {tcp: {maxConnections: %d}}"


def test_without_a_rule_nothing_is_limited_and_balancing_is_by_least_request(rendered: Rendered) -> None:
    plain = rendered().cluster(f"outbound|9080||{HOST}")

    assert limit(plain) == (4294967295, 4294967295)
    assert plain["lb_policy"] == "LEAST_REQUEST"
    assert plain["connect_timeout"] == "10s"


def test_a_subsets_block_takes_the_place_of_the_rules_whole(rendered: Rendered) -> None:
    """Not field by field: what the subset's block leaves out is not limited."""
    spec = (
        "trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 1}}, loadBalancer: {simple: RANDOM}}, "
        f"subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {{{POOL % 2}}}}}]"
    )

    assert limit(cluster(rendered, spec)) == (4294967295, 1)
    assert limit(cluster(rendered, spec, "v1")) == (2, 4294967295)
    assert cluster(rendered, spec, "v1")["lb_policy"] == "RANDOM"


def test_a_ports_settings_go_before_the_policys_own(rendered: Rendered) -> None:
    ports = f"portLevelSettings: [{{port: {{number: 80}}, {POOL % 3}}}]"
    text = rule(f"host: two-ports, trafficPolicy: {{{POOL % 2}, {ports}}}")

    def connections(port: int) -> int:
        return limit(rendered(text).cluster(f"outbound|{port}||two-ports.default.svc.cluster.local"))[0]

    assert (connections(80), connections(81)) == (3, 2)


@pytest.mark.parametrize("subset", ["", "v1"])
def test_what_a_ports_settings_leave_out_is_the_default_and_not_what_stands_around_them(
    rendered: Rendered, subset: str
) -> None:
    policy = f"trafficPolicy: {{{POOL % 2}, loadBalancer: {{simple: RANDOM}}, portLevelSettings: [%s]}}"
    own = policy % "{port: {number: 9080}, tls: {mode: DISABLE}}"
    subsets = f"subsets: [{{name: v1, labels: {{version: v1}}{', ' + own if subset else ''}}}]"
    around = policy % "" if subset else own

    found = cluster(rendered, f"{around}, {subsets}", subset)

    assert limit(found) == (4294967295, 4294967295)
    assert found["lb_policy"] == "LEAST_REQUEST"


def test_settings_for_a_port_that_the_host_has_not_are_refused(rendered: Rendered) -> None:
    settings = f"portLevelSettings: [{{port: {{number: 1}}, {POOL % 4}}}]"
    with pytest.raises(ManifestError) as caught:
        cluster(rendered, f"subsets: [{{name: v1, trafficPolicy: {{{settings}}}}}]")
    assert caught.value.code == "port-not-found"
    assert caught.value.field == "spec.subsets[0].trafficPolicy.portLevelSettings[0].port.number"


def test_keepalive_of_connections_is_set_in_whole_seconds(rendered: Rendered) -> None:
    pool = "connectionPool: {tcp: {tcpKeepalive: {time: 2h, interval: 75s, probes: 3}}}"
    options = cluster(rendered, f"trafficPolicy: {{{pool}}}")["upstream_connection_options"]
    assert options["tcp_keepalive"] == {"keepalive_time": 7200, "keepalive_interval": 75, "keepalive_probes": 3}


def test_a_subset_without_a_policy_has_the_rules(rendered: Rendered) -> None:
    spec = f"trafficPolicy: {{{POOL % 2}}}, subsets: [{{name: v1, labels: {{version: v1}}}}]"

    assert limit(cluster(rendered, spec, "v1"))[0] == 2


def test_a_subset_has_the_instances_with_its_labels(rendered: Rendered) -> None:
    spec = "subsets: [{name: v2, labels: {version: v2}}, {name: none, labels: {version: v9}}]"

    def addresses(subset: str) -> list[str]:
        endpoints = cluster(rendered, spec, subset)["load_assignment"]["endpoints"][0]["lb_endpoints"]
        return [item["endpoint"]["address"]["socket_address"]["address"] for item in endpoints]

    assert addresses("v2") == ["127.64.0.12"]
    assert addresses("none") == []
    assert len(addresses("")) == 2


def test_the_callers_namespace_goes_before_the_services_and_the_root(rendered: Rendered) -> None:
    text = (
        rule(f"host: {HOST}, trafficPolicy: {{{POOL % 1}}}", namespace="istio-system")
        + rule(f"host: reviews, trafficPolicy: {{{POOL % 2}}}")
        + rule(f"host: {HOST}, trafficPolicy: {{{POOL % 3}}}", namespace="other")
    )
    name = f"outbound|9080||{HOST}"

    assert limit(rendered(text).cluster(name))[0] == 2
    assert limit(rendered(text, "far-v1").cluster(name))[0] == 3


@pytest.mark.parametrize(("exported", "expected"), [("'*'", 2), ("'.'", 1)])
def test_a_gateway_in_the_root_namespace_heeds_a_services_own_rule_before_the_meshs(
    rendered: Rendered, exported: str, expected: int
) -> None:
    """A rule there for `*.local` is for everybody, and would leave the gateway without any subset."""
    everybody = f"host: '*.local', exportTo: [{exported}], trafficPolicy: {{{POOL % 1}}}"
    text = rule(everybody, namespace="istio-system") + rule(f"host: reviews, trafficPolicy: {{{POOL % 2}}}")

    assert limit(rendered(text, "gateway").cluster(f"outbound|9080||{HOST}"))[0] == expected


def test_a_rule_for_some_callers_goes_before_the_one_for_all(rendered: Rendered) -> None:
    some = f"host: reviews, workloadSelector: {{matchLabels: {{app: ratings}}}}, trafficPolicy: {{{POOL % 7}}}"
    text = rule(f"host: reviews, trafficPolicy: {{{POOL % 2}}}") + rule(some, "some")
    name = f"outbound|9080||{HOST}"

    assert limit(rendered(text, "ratings-v1").cluster(name))[0] == 7
    assert limit(rendered(text).cluster(name))[0] == 2


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ("simple: LEAST_CONN", {"lb_policy": "LEAST_REQUEST"}),
        ("simple: ROUND_ROBIN", {"lb_policy": "ROUND_ROBIN"}),
        ("consistentHash: {useSourceIp: true}", {"lb_policy": "RING_HASH"}),
        ("consistentHash: {httpHeaderName: a, maglev: {}}", {"lb_policy": "MAGLEV"}),
    ],
)
def test_load_balancers_are_envoys(rendered: Rendered, balancer: str, expected: Any) -> None:
    found = cluster(rendered, f"trafficPolicy: {{loadBalancer: {{{balancer}}}}}")

    assert expected.items() <= found.items()


# 9. Outlier detection (applyOutlierDetection, cluster_traffic_policy.go)


def test_only_the_counts_that_are_written_are_set(rendered: Rendered) -> None:
    spec = "trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 2, interval: 1s, minHealthPercent: 20}}"

    found = cluster(rendered, spec)

    assert found["outlier_detection"] == {
        "enforcing_success_rate": 0,
        "consecutive_gateway_failure": 2,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "1s",
    }
    assert found["common_lb_config"] == {"healthy_panic_threshold": {"value": 20}}


@pytest.mark.parametrize(("count", "expected"), [(0, {}), (3, {"consecutive_local_origin_failure": 3})])
def test_errors_of_ones_own_count_by_themselves_if_asked_for_and_never_by_their_rate(
    rendered: Rendered, count: int, expected: Any
) -> None:
    errors = f"splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: {count}"

    found = cluster(rendered, f"trafficPolicy: {{outlierDetection: {{{errors}}}}}")["outlier_detection"]

    assert {name: value for name, value in found.items() if name.startswith("consecutive")} == expected
    assert found["enforcing_local_origin_success_rate"] == 0


# 15. Mutual TLS


def test_callers_speak_mutual_tls_to_whoever_has_a_sidecar_and_check_who_answers(rendered: Rendered) -> None:
    matches = rendered().cluster(f"outbound|9080||{HOST}")["transport_socket_matches"]
    context = matches[0]["transport_socket"]["typed_config"]

    assert [item["match"] for item in matches] == [{"tlsMode": "istio"}, {}]
    assert context["sni"] == f"outbound_.9080_._.{HOST}"
    assert context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"}}
    ]


def test_istio_mutual_is_for_every_instance(rendered: Rendered) -> None:
    found = cluster(rendered, "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")

    assert found["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    assert "transport_socket_matches" not in found


def test_mutual_takes_both_certificates_from_a_secret(topology: Topology) -> None:
    tls = "tls: {mode: MUTUAL, credentialName: books}"
    text = rule(f"host: reviews, workloadSelector: {{matchLabels: {{app: productpage}}}}, trafficPolicy: {{{tls}}}")
    secret = Secret("books", "default", {"ca.crt": "CA", "tls.crt": "CERT", "tls.key": "KEY"})

    rules = Rules.parse(read_documents(text, "test.yaml"))
    config = translate(replace(topology, secrets=(secret,)), rules)["productpage-v1"]

    found = next(item for item in config.clusters if item["name"] == f"outbound|9080||{HOST}")
    context = found["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_certificates"] == [
        {"certificate_chain": {"inline_string": "CERT"}, "private_key": {"inline_string": "KEY"}}
    ]


def test_every_upstream_connection_comes_from_the_callers_own_address(rendered: Rendered) -> None:
    assert rendered().cluster(f"outbound|9080||{HOST}")["upstream_bind_config"] == {
        "source_address": {"address": "127.64.0.10", "port_value": 0}
    }


def peers(name: str, spec: str, namespace: str = "default") -> str:
    return (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


def chains(rendered: Rendered, text: str, proxy: str = "reviews-v1") -> list[str]:
    listener = next(item for item in rendered(text, proxy).config.listeners if item["name"] == "inbound_9080")
    return [chain["name"] for chain in listener["filter_chains"]]


def sidecar(name: str, spec: str) -> str:
    return f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n"


def test_one_for_the_namespace_and_one_for_a_workload_can_both_be(rendered: Rendered) -> None:
    rendered(sidecar("a", "") + sidecar("b", "workloadSelector: {labels: {app: ratings}}") + peers("a", ""))


def test_the_most_specific_peer_authentication_holds(rendered: Rendered) -> None:
    mesh = peers("all", "mtls: {mode: STRICT}", "istio-system")
    namespace = peers("default", "mtls: {mode: DISABLE}")
    own = peers("reviews", "selector: {matchLabels: {version: v1}}, mtls: {mode: PERMISSIVE}")
    unset = peers("unset", "selector: {matchLabels: {version: v2}}")

    assert chains(rendered, mesh) == ["mutual-tls"]
    assert chains(rendered, mesh + namespace) == ["plaintext"]
    assert chains(rendered, mesh + namespace + own) == ["mutual-tls", "plaintext"]
    assert chains(rendered, mesh + namespace + own + unset, "reviews-v2") == ["plaintext"]
    assert chains(rendered, mesh + namespace, "far-v1") == ["mutual-tls"]


# Authorization


def policy(name: str, spec: str, namespace: str = "default") -> str:
    return (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


def enforced(rendered: Rendered, text: str, proxy: str = "reviews-v1") -> Any:
    return rendered(text, proxy).config.routes["inbound|9080||"].get("typed_per_filter_config", {})


def test_without_a_policy_nothing_is_enforced(rendered: Rendered) -> None:
    assert enforced(rendered, policy("other", "", "other")) == {}


def test_an_empty_policy_allows_nothing(rendered: Rendered) -> None:
    assert enforced(rendered, policy("nothing", ""))[ALLOW_FILTER]["rbac"]["rules"] == {
        "action": "ALLOW",
        "policies": {},
    }


def test_an_empty_rule_is_everything(rendered: Rendered) -> None:
    found = enforced(rendered, policy("all", "rules: [{}]"))[ALLOW_FILTER]["rbac"]["rules"]["policies"]

    assert found == {"ns[default]-policy[all]-rule[0]": {"permissions": [{"any": True}], "principals": [{"any": True}]}}


ANY = {"safe_regex": {"regex": ".+"}}


@pytest.mark.parametrize(
    ("principal", "issuer", "subject"),
    [
        ("*", ANY, ANY),
        ("https://a/b", {"exact": "https://a"}, {"exact": "b"}),
        ("https://a/*", {"exact": "https://a"}, ANY),
        ("https://a/b*", {"exact": "https://a"}, {"prefix": "b"}),
        ("*/b", ANY, {"exact": "b"}),
        ("*a/b", {"suffix": "a"}, {"exact": "b"}),
        ("*/*", ANY, {"exact": "*"}),
        ("a*/b*", {"exact": "a*"}, {"prefix": "b"}),
        ("a*", {"prefix": "a"}, ANY),
        ("*b", ANY, {"suffix": "b"}),
        ("a", {"exact": "a"}, {"exact": ""}),
    ],
)
def test_a_principal_of_a_token_has_one_star_at_its_beginning_or_its_end(
    rendered: Rendered, principal: str, issuer: Any, subject: Any
) -> None:
    """requestPrincipalGenerator, pilot/pkg/security/authz/model/generator.go: any other star is a star."""
    text = policy("tokens", f"rules: [{{from: [{{source: {{requestPrincipals: ['{principal}']}}}}]}}]")

    (held,) = enforced(rendered, text)[ALLOW_FILTER]["rbac"]["rules"]["policies"].values()

    claims = held["principals"][0]["and_ids"]["ids"][0]["or_ids"]["ids"][0]["and_ids"]["ids"]
    values = [claim["sourced_metadata"]["metadata_matcher"]["value"]["string_match"] for claim in claims]
    assert values == [issuer, subject]


def test_policies_are_merged_by_action_and_the_root_namespace_holds_everywhere(rendered: Rendered) -> None:
    text = (
        policy("a", "rules: [{}]", "istio-system")
        + policy("b", "rules: [{}]")
        + policy("c", "action: DENY, rules: [{}]")
        + policy("d", "selector: {matchLabels: {app: ratings}}, rules: [{}]")
    )

    found = enforced(rendered, text)

    assert [name.split("[")[2] for name in found[ALLOW_FILTER]["rbac"]["rules"]["policies"]] == ["a]-rule", "b]-rule"]
    assert [name.split("[")[2] for name in found[DENY_FILTER]["rbac"]["rules"]["policies"]] == ["c]-rule"]


@pytest.mark.parametrize(
    ("resource", "port", "rendered_port"), [("", 8080, 9999), ("", 80, 80), ("", 7070, 7070), ("edge", 80, 9999)]
)
def test_a_gateways_port_is_its_pods_wherever_it_listens_here(
    topology: Topology, resource: str, port: int, rendered_port: int
) -> None:
    bound = ("127.0.0.1", 9999)
    gateway = replace(topology.gateways[0], ports={80: bound, 8080: bound}, resource=resource)
    text = policy("edge", f"action: DENY, rules: [{{to: [{{operation: {{ports: ['{port}']}}}}]}}]", "istio-system")

    found = filter_config(Rules.parse(read_documents(text, "policy.yaml")), gateway, strict=False)

    (held,) = found[DENY_FILTER]["rbac"]["rules"]["policies"].values()
    assert held["permissions"] == [
        {"and_rules": {"rules": [{"or_rules": {"rules": [{"destination_port": rendered_port}]}}]}}
    ]


def test_strict_refuses_what_has_no_identity_in_the_routes_too(rendered: Rendered) -> None:
    found = enforced(rendered, peers("default", "mtls: {mode: STRICT}"))

    assert list(found[DENY_FILTER]["rbac"]["rules"]["policies"]) == ["peer-authentication-strict"]


# EnvoyFilter


def envoy_filter(patch: str) -> str:
    return (
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: f}\n"
        f"spec: {{workloadSelector: {{labels: {{app: reviews}}}}, configPatches: [{patch}]}}\n"
    )


LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
HCM = "listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}"
ROUTE = (
    "{applyTo: HTTP_ROUTE, match: {context: SIDECAR_INBOUND, routeConfiguration: {vhost: {name: 'inbound|http|%d', "
    "route: {action: ANY}}}}, patch: {operation: MERGE, value: {"
    "route: {rate_limits: [{actions: [{remote_address: {}}]}]}, "
    f"typed_per_filter_config: {{envoy.filters.http.local_ratelimit: {{'@type': {LIMIT}, stat_prefix: s}}}}}}}}}}"
)


def test_a_rate_limit_can_be_put_on_routes(rendered: Rendered) -> None:
    route = rendered(envoy_filter(ROUTE % 9080), "reviews-v1").config.routes["inbound|9080||"]["virtual_hosts"][0][
        "routes"
    ][0]

    assert route["route"]["rate_limits"] == [{"actions": [{"remote_address": {}}]}]
    assert list(route["typed_per_filter_config"]) == ["envoy.filters.http.local_ratelimit"]
