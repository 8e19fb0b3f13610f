"""The object that is changed."""

import copy

import pytest

from bookinfo_canary.errors import RefusedError
from bookinfo_canary.plan import Service
from bookinfo_canary.routes import HTTPRoute, Json, RouteKind, VirtualService

REVIEWS = Service("reviews", "shop")
KINDS = pytest.mark.parametrize("kind", [VirtualService(), HTTPRoute()], ids=["VirtualService", "HTTPRoute"])


@KINDS
def test_what_is_written_reads_the_same(kind: RouteKind) -> None:
    body = kind.body(REVIEWS, {"v1": 90, "v2": 10}, None)
    assert kind.weights(REVIEWS, body) == {"v1": 90, "v2": 10}
    assert body["metadata"]["name"] == "reviews"
    assert body["metadata"]["namespace"] == "shop"


@KINDS
def test_a_version_that_gets_nothing_is_not_named(kind: RouteKind) -> None:
    """So that it can be removed, and what made it reachable too."""
    assert "v2" not in str(kind.body(REVIEWS, {"v1": 100}, None))


@KINDS
def test_all_but_the_weights_is_kept(kind: RouteKind) -> None:
    existing = kind.body(REVIEWS, {"v1": 100}, None)
    existing["spec"][kind.rules][0]["timeout"] = "2s"
    before = copy.deepcopy(existing)
    changed = kind.body(REVIEWS, {"v1": 50, "v2": 50}, existing)
    assert changed["spec"][kind.rules][0]["timeout"] == "2s"
    assert existing == before


def with_rule(kind: RouteKind, **fields: object) -> Json:
    body = kind.body(REVIEWS, {"v1": 100}, None)
    body["spec"][kind.rules][0].update(fields)
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
def test_a_route_that_says_more_than_weights_is_refused(kind: RouteKind, existing: Json) -> None:
    with pytest.raises(RefusedError, match=r"reviews has .*, which would be lost: change it first, or say --take-over"):
        kind.weights(REVIEWS, existing)


def test_one_destination_without_a_weight_has_them_all() -> None:
    existing = with_rule(VirtualService(), route=[{"destination": {"host": "reviews.shop", "subset": "v1"}}])
    assert VirtualService().weights(REVIEWS, existing) == {"v1": 100}


def test_what_the_api_server_adds_to_an_httproute_is_no_rule() -> None:
    existing = with_rule(HTTPRoute(), matches=[{"path": {"type": "PathPrefix", "value": "/"}}])
    existing["spec"]["rules"][0]["backendRefs"] = [
        {"group": "", "kind": "Service", "name": "reviews-v1", "port": 9080, "weight": 1}
    ]
    assert HTTPRoute().weights(REVIEWS, existing) == {"v1": 1}


def test_a_subset_that_no_destination_rule_names_is_missing() -> None:
    rules = [
        {"spec": {"host": "reviews", "subsets": [{"name": "v1"}]}},
        {"spec": {"host": "ratings", "subsets": [{"name": "v2"}]}},
        {"spec": {"host": "details"}},
    ]
    kind = VirtualService()
    assert kind.lacking(REVIEWS, ("v1",), rules) == ""
    assert kind.lacking(REVIEWS, ("v1", "v2"), rules) == "no DestinationRule has reviews's subset v2"


def test_a_version_without_a_service_is_missing_for_an_httproute() -> None:
    services = [{"metadata": {"name": "reviews"}}, {"metadata": {"name": "reviews-v1"}}]
    assert HTTPRoute().lacking(REVIEWS, ("v1",), services) == ""
    assert HTTPRoute().lacking(REVIEWS, ("v1", "v2"), services) == "there is no Service reviews-v2"
