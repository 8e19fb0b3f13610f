"""The clusters and filters of DestinationRule, PeerAuthentication, AuthorizationPolicy and EnvoyFilter."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Secret, Topology
from bookinfo_lab.translate import translate
from bookinfo_lab.translate.authorization import ALLOW_FILTER, DENY_FILTER, filter_config

Translated = Callable[..., Any]
HOST = "reviews.default.svc.cluster.local"


def rule(spec: str, name: str = "reviews", namespace: str = "default") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


def cluster(translated: Translated, spec: str, subset: str = "", proxy: str = "productpage-v1") -> Any:
    return translated(rule(f"host: reviews, {spec}"), proxy).cluster(f"outbound|9080|{subset}|{HOST}")


def limit(pool: Any) -> tuple[int, int]:
    thresholds = pool["circuit_breakers"]["thresholds"][0]
    return thresholds["max_connections"], thresholds["max_pending_requests"]


# The effective traffic policy (util.MergeSubsetTrafficPolicy, pilot/pkg/networking/util/util.go)

POOL = "connectionPool: {tcp: {maxConnections: %d}}"


def test_defaults_are_no_limits_and_least_request(translated: Translated) -> None:
    plain = translated().cluster(f"outbound|9080||{HOST}")

    assert limit(plain) == (4294967295, 4294967295)
    assert plain["lb_policy"] == "LEAST_REQUEST"
    assert plain["connect_timeout"] == "10s"


def test_subset_block_replaces_the_whole_block_of_the_rule(translated: Translated) -> None:
    """Blocks are not merged field by field: a field that the subset's block omits is unlimited."""
    spec = (
        "trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 1}}, loadBalancer: {simple: RANDOM}}, "
        f"subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {{{POOL % 2}}}}}]"
    )

    assert limit(cluster(translated, spec)) == (4294967295, 1)
    assert limit(cluster(translated, spec, "v1")) == (2, 4294967295)
    assert cluster(translated, spec, "v1")["lb_policy"] == "RANDOM"


def test_port_level_settings_precede_the_traffic_policy(translated: Translated) -> None:
    ports = f"portLevelSettings: [{{port: {{number: 80}}, {POOL % 3}}}]"
    text = rule(f"host: two-ports, trafficPolicy: {{{POOL % 2}, {ports}}}")

    def connections(port: int) -> int:
        return limit(translated(text).cluster(f"outbound|{port}||two-ports.default.svc.cluster.local"))[0]

    assert (connections(80), connections(81)) == (3, 2)


@pytest.mark.parametrize("subset", ["", "v1"])
def test_port_level_settings_do_not_inherit_from_the_traffic_policy(translated: Translated, subset: str) -> None:
    policy = f"trafficPolicy: {{{POOL % 2}, loadBalancer: {{simple: RANDOM}}, portLevelSettings: [%s]}}"
    own = policy % "{port: {number: 9080}, tls: {mode: DISABLE}}"
    subsets = f"subsets: [{{name: v1, labels: {{version: v1}}{', ' + own if subset else ''}}}]"
    around = policy % "" if subset else own

    found = cluster(translated, f"{around}, {subsets}", subset)

    assert limit(found) == (4294967295, 4294967295)
    assert found["lb_policy"] == "LEAST_REQUEST"


def test_settings_for_a_missing_port_are_rejected(translated: Translated) -> None:
    settings = f"portLevelSettings: [{{port: {{number: 1}}, {POOL % 4}}}]"
    with pytest.raises(ManifestError) as caught:
        cluster(translated, f"subsets: [{{name: v1, trafficPolicy: {{{settings}}}}}]")
    assert caught.value.code == "port-not-found"
    assert caught.value.field == "spec.subsets[0].trafficPolicy.portLevelSettings[0].port.number"


def test_tcp_keepalive_is_translated_to_whole_seconds(translated: Translated) -> None:
    pool = "connectionPool: {tcp: {tcpKeepalive: {time: 2h, interval: 75s, probes: 3}}}"
    options = cluster(translated, f"trafficPolicy: {{{pool}}}")["upstream_connection_options"]
    assert options["tcp_keepalive"] == {"keepalive_time": 7200, "keepalive_interval": 75, "keepalive_probes": 3}


def test_subset_without_policy_inherits_the_traffic_policy(translated: Translated) -> None:
    spec = f"trafficPolicy: {{{POOL % 2}}}, subsets: [{{name: v1, labels: {{version: v1}}}}]"

    assert limit(cluster(translated, spec, "v1"))[0] == 2


def test_subset_has_the_endpoints_with_its_labels(translated: Translated) -> None:
    spec = "subsets: [{name: v2, labels: {version: v2}}, {name: none, labels: {version: v9}}]"

    def addresses(subset: str) -> list[str]:
        endpoints = cluster(translated, spec, subset)["load_assignment"]["endpoints"][0]["lb_endpoints"]
        return [item["endpoint"]["address"]["socket_address"]["address"] for item in endpoints]

    assert addresses("v2") == ["127.64.0.12"]
    assert addresses("none") == []
    assert len(addresses("")) == 2


def test_caller_namespace_precedes_service_and_root_namespaces(translated: Translated) -> None:
    text = (
        rule(f"host: {HOST}, trafficPolicy: {{{POOL % 1}}}", namespace="istio-system")
        + rule(f"host: reviews, trafficPolicy: {{{POOL % 2}}}")
        + rule(f"host: {HOST}, trafficPolicy: {{{POOL % 3}}}", namespace="other")
    )
    name = f"outbound|9080||{HOST}"

    assert limit(translated(text).cluster(name))[0] == 2
    assert limit(translated(text, "far-v1").cluster(name))[0] == 3


@pytest.mark.parametrize(("exported", "expected"), [("'*'", 2), ("'.'", 1)])
def test_gateway_in_root_namespace_prefers_the_rule_of_the_service(
    translated: Translated, exported: str, expected: int
) -> None:
    """A mesh-wide rule for `*.local` in the root namespace would otherwise hide the subsets of the service."""
    everybody = f"host: '*.local', exportTo: [{exported}], trafficPolicy: {{{POOL % 1}}}"
    text = rule(everybody, namespace="istio-system") + rule(f"host: reviews, trafficPolicy: {{{POOL % 2}}}")

    assert limit(translated(text, "gateway").cluster(f"outbound|9080||{HOST}"))[0] == expected


def test_rule_with_workload_selector_precedes_one_without(translated: Translated) -> None:
    some = f"host: reviews, workloadSelector: {{matchLabels: {{app: ratings}}}}, trafficPolicy: {{{POOL % 7}}}"
    text = rule(f"host: reviews, trafficPolicy: {{{POOL % 2}}}") + rule(some, "some")
    name = f"outbound|9080||{HOST}"

    assert limit(translated(text, "ratings-v1").cluster(name))[0] == 7
    assert limit(translated(text).cluster(name))[0] == 2


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ("simple: LEAST_CONN", {"lb_policy": "LEAST_REQUEST"}),
        ("simple: ROUND_ROBIN", {"lb_policy": "ROUND_ROBIN"}),
        ("consistentHash: {useSourceIp: true}", {"lb_policy": "RING_HASH"}),
        ("consistentHash: {httpHeaderName: a, maglev: {}}", {"lb_policy": "MAGLEV"}),
    ],
)
def test_load_balancer_is_translated(translated: Translated, balancer: str, expected: Any) -> None:
    found = cluster(translated, f"trafficPolicy: {{loadBalancer: {{{balancer}}}}}")

    assert expected.items() <= found.items()


# Outlier detection (applyOutlierDetection, cluster_traffic_policy.go)


def test_only_specified_error_counts_are_set(translated: Translated) -> None:
    spec = "trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 2, interval: 1s, minHealthPercent: 20}}"

    found = cluster(translated, spec)

    assert found["outlier_detection"] == {
        "enforcing_success_rate": 0,
        "consecutive_gateway_failure": 2,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "1s",
    }
    assert found["common_lb_config"] == {"healthy_panic_threshold": {"value": 20}}


@pytest.mark.parametrize(("count", "expected"), [(0, {}), (3, {"consecutive_local_origin_failure": 3})])
def test_local_origin_errors_count_separately_and_never_by_rate(
    translated: Translated, count: int, expected: Any
) -> None:
    errors = f"splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: {count}"

    found = cluster(translated, f"trafficPolicy: {{outlierDetection: {{{errors}}}}}")["outlier_detection"]

    assert {name: value for name, value in found.items() if name.startswith("consecutive")} == expected
    assert found["enforcing_local_origin_success_rate"] == 0


# Mutual TLS


def test_callers_use_mutual_tls_to_sidecars_and_verify_the_identity(translated: Translated) -> None:
    matches = translated().cluster(f"outbound|9080||{HOST}")["transport_socket_matches"]
    context = matches[0]["transport_socket"]["typed_config"]

    assert [item["match"] for item in matches] == [{"tlsMode": "istio"}, {}]
    assert context["sni"] == f"outbound_.9080_._.{HOST}"
    assert context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"}}
    ]


def test_istio_mutual_applies_to_every_endpoint(translated: Translated) -> None:
    found = cluster(translated, "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")

    assert found["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    assert "transport_socket_matches" not in found


def test_mutual_mode_reads_certificates_from_a_secret(topology: Topology) -> None:
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


def test_upstream_connections_use_the_address_of_the_caller(translated: Translated) -> None:
    assert translated().cluster(f"outbound|9080||{HOST}")["upstream_bind_config"] == {
        "source_address": {"address": "127.64.0.10", "port_value": 0}
    }


def peers(name: str, spec: str, namespace: str = "default") -> str:
    return (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


def chains(translated: Translated, text: str, proxy: str = "reviews-v1") -> list[str]:
    listener = next(item for item in translated(text, proxy).config.listeners if item["name"] == "inbound_9080")
    return [chain["name"] for chain in listener["filter_chains"]]


def sidecar(name: str, spec: str) -> str:
    return f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n"


def test_policies_for_namespace_and_workload_do_not_conflict(translated: Translated) -> None:
    translated(sidecar("a", "") + sidecar("b", "workloadSelector: {labels: {app: ratings}}") + peers("a", ""))


def test_most_specific_peer_authentication_applies(translated: Translated) -> None:
    mesh = peers("all", "mtls: {mode: STRICT}", "istio-system")
    namespace = peers("default", "mtls: {mode: DISABLE}")
    own = peers("reviews", "selector: {matchLabels: {version: v1}}, mtls: {mode: PERMISSIVE}")
    unset = peers("unset", "selector: {matchLabels: {version: v2}}")

    assert chains(translated, mesh) == ["mutual-tls"]
    assert chains(translated, mesh + namespace) == ["plaintext"]
    assert chains(translated, mesh + namespace + own) == ["mutual-tls", "plaintext"]
    assert chains(translated, mesh + namespace + own + unset, "reviews-v2") == ["plaintext"]
    assert chains(translated, mesh + namespace, "far-v1") == ["mutual-tls"]


# Authorization


def policy(name: str, spec: str, namespace: str = "default") -> str:
    return (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


def enforced(translated: Translated, text: str, proxy: str = "reviews-v1") -> Any:
    return translated(text, proxy).config.routes["inbound|9080||"].get("typed_per_filter_config", {})


def test_nothing_is_enforced_without_a_policy(translated: Translated) -> None:
    assert enforced(translated, policy("other", "", "other")) == {}


def test_empty_policy_allows_nothing(translated: Translated) -> None:
    assert enforced(translated, policy("nothing", ""))[ALLOW_FILTER]["rbac"]["rules"] == {
        "action": "ALLOW",
        "policies": {},
    }


def test_empty_rule_matches_every_request(translated: Translated) -> None:
    found = enforced(translated, policy("all", "rules: [{}]"))[ALLOW_FILTER]["rbac"]["rules"]["policies"]

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
def test_request_principal_has_one_wildcard_at_its_start_or_end(
    translated: Translated, principal: str, issuer: Any, subject: Any
) -> None:
    """requestPrincipalGenerator, pilot/pkg/security/authz/model/generator.go: any other star is literal."""
    text = policy("tokens", f"rules: [{{from: [{{source: {{requestPrincipals: ['{principal}']}}}}]}}]")

    (policy_config,) = enforced(translated, text)[ALLOW_FILTER]["rbac"]["rules"]["policies"].values()

    claims = policy_config["principals"][0]["and_ids"]["ids"][0]["or_ids"]["ids"][0]["and_ids"]["ids"]
    values = [claim["sourced_metadata"]["metadata_matcher"]["value"]["string_match"] for claim in claims]
    assert values == [issuer, subject]


def test_policies_are_merged_by_action_with_those_of_the_root_namespace(translated: Translated) -> None:
    text = (
        policy("a", "rules: [{}]", "istio-system")
        + policy("b", "rules: [{}]")
        + policy("c", "action: DENY, rules: [{}]")
        + policy("d", "selector: {matchLabels: {app: ratings}}, rules: [{}]")
    )

    found = enforced(translated, text)

    assert [name.split("[")[2] for name in found[ALLOW_FILTER]["rbac"]["rules"]["policies"]] == ["a]-rule", "b]-rule"]
    assert [name.split("[")[2] for name in found[DENY_FILTER]["rbac"]["rules"]["policies"]] == ["c]-rule"]


@pytest.mark.parametrize(
    ("resource", "port", "local_port"), [("", 8080, 9999), ("", 80, 80), ("", 7070, 7070), ("edge", 80, 9999)]
)
def test_policy_port_of_a_gateway_is_the_port_of_its_pod(
    topology: Topology, resource: str, port: int, local_port: int
) -> None:
    bound = ("127.0.0.1", 9999)
    gateway = replace(topology.gateways[0], ports={80: bound, 8080: bound}, resource=resource)
    text = policy("edge", f"action: DENY, rules: [{{to: [{{operation: {{ports: ['{port}']}}}}]}}]", "istio-system")

    found = filter_config(Rules.parse(read_documents(text, "policy.yaml")), gateway, strict=False)

    (policy_config,) = found[DENY_FILTER]["rbac"]["rules"]["policies"].values()
    assert policy_config["permissions"] == [
        {"and_rules": {"rules": [{"or_rules": {"rules": [{"destination_port": local_port}]}}]}}
    ]


def test_strict_mode_also_rejects_requests_without_identity_by_rbac(translated: Translated) -> None:
    found = enforced(translated, peers("default", "mtls: {mode: STRICT}"))

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


def test_rate_limit_can_patch_routes(translated: Translated) -> None:
    route = translated(envoy_filter(ROUTE % 9080), "reviews-v1").config.routes["inbound|9080||"]["virtual_hosts"][0][
        "routes"
    ][0]

    assert route["route"]["rate_limits"] == [{"actions": [{"remote_address": {}}]}]
    assert list(route["typed_per_filter_config"]) == ["envoy.filters.http.local_ratelimit"]
