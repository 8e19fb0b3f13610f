"""The manifests of routes, and the weights that they contain."""

import copy

import pytest

from bookinfo_canary.errors import RejectedError
from bookinfo_canary.release_plan import Service
from bookinfo_canary.routes import HTTPRoute, Json, RouteKind, VirtualService

REVIEWS = Service("reviews", "shop")
KINDS = pytest.mark.parametrize("kind", [VirtualService(), HTTPRoute()], ids=["VirtualService", "HTTPRoute"])


@KINDS
def test_written_weights_are_read_back(kind: RouteKind) -> None:
    body = kind.manifest(REVIEWS, {"v1": 90, "v2": 10}, None)
    assert kind.weights(REVIEWS, body) == {"v1": 90, "v2": 10}
    assert body["metadata"]["name"] == "reviews"
    assert body["metadata"]["namespace"] == "shop"


@KINDS
def test_version_without_requests_is_not_named(kind: RouteKind) -> None:
    """So that the version and its subset or Service can be removed."""
    assert "v2" not in str(kind.manifest(REVIEWS, {"v1": 100}, None))


@KINDS
def test_everything_but_the_weights_is_kept(kind: RouteKind) -> None:
    existing = kind.manifest(REVIEWS, {"v1": 100}, None)
    existing["spec"][kind.rules_field][0]["timeout"] = "2s"
    before = copy.deepcopy(existing)
    changed = kind.manifest(REVIEWS, {"v1": 50, "v2": 50}, existing)
    assert changed["spec"][kind.rules_field][0]["timeout"] == "2s"
    assert existing == before


def with_rule(kind: RouteKind, **fields: object) -> Json:
    body = kind.manifest(REVIEWS, {"v1": 100}, None)
    body["spec"][kind.rules_field][0].update(fields)
    return body


@pytest.mark.parametrize(
    ("kind", "existing"),
    [
        (VirtualService(), with_rule(VirtualService(), match=[{"headers": {"end-user": {"exact": "jason"}}}])),
        (VirtualService(), {"spec": {"http": [{}, {}]}}),
        (VirtualService(), {"spec": {"http": [{}], "tcp": [{}]}}),
        (VirtualService(), with_rule(VirtualService(), route=[{"destination": {"host": "details", "subset": "v1"}}])),
        (
            VirtualService(),
            with_rule(
                VirtualService(),
                route=[{"destination": {"host": "reviews", "subset": "v1"}, "headers": {"request": {}}}],
            ),
        ),
        (HTTPRoute(), with_rule(HTTPRoute(), matches=[{"headers": [{"name": "end-user", "value": "jason"}]}])),
        (HTTPRoute(), {"spec": {"rules": [{}, {}]}}),
        (HTTPRoute(), with_rule(HTTPRoute(), backendRefs=[{"name": "reviews-v1", "port": 9080, "filters": [{}]}])),
    ],
)
def test_route_with_further_rules_is_rejected(kind: RouteKind, existing: Json) -> None:
    with pytest.raises(
        RejectedError, match=r"reviews has .*, which would be lost; change it first, or use --take-over"
    ):
        kind.weights(REVIEWS, existing)


def test_single_destination_without_a_weight_receives_everything() -> None:
    existing = with_rule(VirtualService(), route=[{"destination": {"host": "reviews.shop", "subset": "v1"}}])
    assert VirtualService().weights(REVIEWS, existing) == {"v1": 100}


def test_defaults_of_an_httproute_are_not_rules() -> None:
    existing = with_rule(HTTPRoute(), matches=[{"path": {"type": "PathPrefix", "value": "/"}}])
    existing["spec"]["rules"][0]["backendRefs"] = [
        {"group": "", "kind": "Service", "name": "reviews-v1", "port": 9080, "weight": 1}
    ]
    assert HTTPRoute().weights(REVIEWS, existing) == {"v1": 1}


def test_subset_without_a_destination_rule_is_missing() -> None:
    rules = [
        {"spec": {"host": "reviews", "subsets": [{"name": "v1"}]}},
        {"spec": {"host": "ratings", "subsets": [{"name": "v2"}]}},
        {"spec": {"host": "details"}},
    ]
    kind = VirtualService()
    assert kind.missing_versions(REVIEWS, ("v1",), rules) == ""
    assert kind.missing_versions(REVIEWS, ("v1", "v2"), rules) == "no DestinationRule defines the subset v2 of reviews"


def test_httproute_version_without_a_service_is_missing() -> None:
    services = [{"metadata": {"name": "reviews"}}, {"metadata": {"name": "reviews-v1"}}]
    assert HTTPRoute().missing_versions(REVIEWS, ("v1",), services) == ""
    assert HTTPRoute().missing_versions(REVIEWS, ("v1", "v2"), services) == "Service reviews-v2 not found"
