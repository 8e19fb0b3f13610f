"""Which policies apply to a workload: the most specific one, and selectors without labels."""

from collections.abc import Callable
from typing import Any

import pytest

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate.authorization import policies_for
from bookinfo_lab.translate.jwt import jwt_rules
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode
from bookinfo_lab.translate.rate_limit import RATE_LIMIT_FILTER, rate_limits
from bookinfo_lab.translate.selection import from_most_specific
from bookinfo_lab.translate.sidecar_scope import allows_unknown_hosts
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.telemetry import access_logging

WORKLOAD = "selector: {matchLabels: {app: reviews}}, "
EMPTY_SELECTORS = ["", "selector: {}, ", "selector: {matchLabels: {}}, "]
EMPTY_WORKLOAD_SELECTORS = ["", "workloadSelector: {}, ", "workloadSelector: {labels: {}}, "]


def manifest(kind: str, name: str, spec: str, namespace: str = "default") -> str:
    api_version = {
        "Sidecar": "networking.istio.io/v1",
        "EnvoyFilter": "networking.istio.io/v1alpha3",
        "Telemetry": "telemetry.istio.io/v1",
    }.get(kind, "security.istio.io/v1")
    return (
        f"apiVersion: {api_version}\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )


@pytest.fixture
def reviews(topology: Topology) -> Any:
    return next(workload for workload in topology.workloads if workload.name == "reviews-v1")


def parse(text: str) -> Rules:
    return Rules.parse(read_documents(text, "test.yaml"))


def test_most_specific_policy_is_first(topology: Topology, reviews: Any) -> None:
    rules = parse(
        manifest("PeerAuthentication", "mesh", "", "istio-system")
        + manifest("PeerAuthentication", "namespace", "")
        + manifest("PeerAuthentication", "workload", WORKLOAD)
        + manifest("PeerAuthentication", "other-workload", "selector: {matchLabels: {app: ratings}}")
        + manifest("PeerAuthentication", "other-namespace", "", "other")
    )

    found = from_most_specific(rules.peer_authentications, reviews)

    assert [rule.name for rule in found] == ["workload", "namespace", "mesh"]


# The policy without labels stands first: if it counted as workload-specific, it would win by its order.


@pytest.mark.parametrize("selector", EMPTY_SELECTORS)
def test_telemetry_with_empty_selector_is_less_specific_than_one_with_labels(
    topology: Topology, reviews: Any, selector: str
) -> None:
    rules = parse(
        manifest("Telemetry", "namespace", f"{selector}accessLogging: [{{disabled: true}}]")
        + manifest("Telemetry", "workload", f"{WORKLOAD}accessLogging: [{{disabled: false}}]")
    )

    (logging,) = access_logging(MeshSnapshot(topology, rules), reviews)

    assert not logging.disabled


@pytest.mark.parametrize("selector", EMPTY_SELECTORS)
def test_telemetry_with_empty_selector_in_root_namespace_applies_to_the_mesh(
    topology: Topology, reviews: Any, selector: str
) -> None:
    rules = parse(manifest("Telemetry", "mesh", f"{selector}accessLogging: [{{}}]", "istio-system"))

    assert len(access_logging(MeshSnapshot(topology, rules), reviews)) == 1


@pytest.mark.parametrize("selector", EMPTY_SELECTORS)
def test_peer_authentication_with_empty_selector_is_less_specific_than_one_with_labels(
    reviews: Any, selector: str
) -> None:
    rules = parse(
        manifest("PeerAuthentication", "namespace", f"{selector}mtls: {{mode: STRICT}}")
        + manifest("PeerAuthentication", "workload", f"{WORKLOAD}mtls: {{mode: DISABLE}}")
    )

    assert mutual_tls_mode(rules, reviews, 9080) == "DISABLE"


@pytest.mark.parametrize("selector", EMPTY_WORKLOAD_SELECTORS)
def test_sidecar_with_empty_selector_is_less_specific_than_one_with_labels(reviews: Any, selector: str) -> None:
    labels = "workloadSelector: {labels: {app: reviews}}, "
    rules = parse(
        manifest("Sidecar", "namespace", f"{selector}outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}")
        + manifest("Sidecar", "workload", f"{labels}outboundTrafficPolicy: {{mode: ALLOW_ANY}}")
    )

    assert allows_unknown_hosts(rules, reviews)


@pytest.mark.parametrize("selector", EMPTY_SELECTORS)
@pytest.mark.parametrize(
    ("kind", "spec", "applied"),
    [
        ("AuthorizationPolicy", "rules: [{}]", policies_for),
        ("RequestAuthentication", "jwtRules: [{issuer: a, jwks: '{\"keys\": []}'}]", jwt_rules),
    ],
)
def test_security_policy_with_empty_selector_applies_to_its_namespace_only(
    reviews: Any, selector: str, kind: str, spec: str, applied: Callable[[Rules, Any], list[Any]]
) -> None:
    assert len(applied(parse(manifest(kind, "own", selector + spec)), reviews)) == 1
    assert applied(parse(manifest(kind, "other", selector + spec, "other")), reviews) == []


@pytest.mark.parametrize("selector", EMPTY_WORKLOAD_SELECTORS)
def test_envoy_filter_with_empty_selector_applies_to_its_namespace_only(reviews: Any, selector: str) -> None:
    limit = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    listener = "listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}"
    config = f"{{name: {RATE_LIMIT_FILTER}, typed_config: {{'@type': {limit}, token_bucket: {{max_tokens: 1}}}}}}"
    patch = (
        f"{{applyTo: HTTP_FILTER, match: {{context: SIDECAR_INBOUND, {listener}}}, "
        f"patch: {{operation: INSERT_BEFORE, value: {config}}}}}"
    )
    spec = f"{selector}configPatches: [{patch}]"

    assert len(list(rate_limits(parse(manifest("EnvoyFilter", "own", spec)), reviews))) == 1
    assert list(rate_limits(parse(manifest("EnvoyFilter", "other", spec, "other")), reviews)) == []
