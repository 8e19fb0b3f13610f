"""reviews: the three versions, with every response of ratings."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.settings import InvalidSettingsError
from bookinfo_reviews.app import create_app
from bookinfo_reviews.model import TEXTS
from bookinfo_reviews.settings import Settings

T1, T2 = TEXTS.values()
UNAVAILABLE = {"error": "Ratings service is currently unavailable"}
Handler = Callable[[httpx.Request], httpx.Response]


def stars(**by_reviewer: Any) -> Handler:
    return lambda _: httpx.Response(200, json={"id": 0, "ratings": by_reviewer})


VALID = stars(Reviewer1=5, Reviewer2=4)


def get(
    handler: Handler = VALID, path: str = "/reviews/0", headers: dict[str, str] | None = None, **settings: Any
) -> httpx.Response:
    settings = {"hostname": "reviews-v9-abc"} | settings
    with TestClient(create_app(Settings.load(**settings), httpx.MockTransport(handler))) as client:
        response = client.get(path, headers=headers)
    return httpx.Response(response.status_code, headers=list(response.headers.items()), content=response.content)


def ratings_of(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200
    return [review.get("rating") for review in response.json()["reviews"]]


def test_v1_has_no_ratings_and_the_original_spacing() -> None:
    response = get(version="v1")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.text == (
        '{"id": "0","podname": "reviews-v9-abc","clustername": "null","reviews": ['
        f'{{  "reviewer": "Reviewer1",  "text": "{T1}"}},{{  "reviewer": "Reviewer2",  "text": "{T2}"}}]}}'
    )


def test_v2_has_black_stars_and_the_original_spacing() -> None:
    assert get(version="v2", cluster_name="east").text == (
        '{"id": "0","podname": "reviews-v9-abc","clustername": "east","reviews": ['
        f'{{  "reviewer": "Reviewer1",  "text": "{T1}", "rating": {{"stars": 5, "color": "black"}}}},'
        f'{{  "reviewer": "Reviewer2",  "text": "{T2}", "rating": {{"stars": 4, "color": "black"}}}}]}}'
    )


def test_v3_has_red_stars() -> None:
    assert ratings_of(get(version="v3")) == [{"stars": 5, "color": "red"}, {"stars": 4, "color": "red"}]


def test_v1_calls_no_service() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise AssertionError("ratings was called")

    assert get(handler, version="v1").status_code == 200


@pytest.mark.parametrize(
    ("settings", "shows", "color", "limit"),
    [
        ({"version": "v1"}, False, "black", 10.0),
        ({"version": "v2"}, True, "black", 10.0),
        ({"version": "v3"}, True, "red", 2.5),
        ({"version": "v1", "enable_ratings": "True"}, True, "black", 10.0),
        ({"version": "v1", "enable_ratings": "yes"}, True, "black", 10.0),
        ({"version": "v3", "enable_ratings": "false"}, False, "red", 2.5),
        ({"version": "v2", "star_color": "gold"}, True, "gold", 2.5),
        ({"version": "v3", "star_color": "black"}, True, "black", 10.0),
    ],
)
def test_version_sets_ratings_color_and_time_limit_unless_overridden(
    settings: dict[str, str], shows: bool, color: str, limit: float
) -> None:
    loaded = Settings.load(**settings)
    assert (loaded.shows_ratings, loaded.color, loaded.ratings_time_limit) == (shows, color, limit)


def test_ratings_is_called_once_for_the_same_book() -> None:
    requests: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(f"{request.method} {request.url} accept={request.headers['accept']}")
        return httpx.Response(503)

    get(handler, "/reviews/7", version="v2", ratings_hostname="stars", services_domain="b.svc", ratings_service_port=81)
    assert requests == ["GET http://stars.b.svc:81/ratings/7 accept=application/json"]


def test_propagated_headers_reach_ratings() -> None:
    got: dict[str, str] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        got.update(request.headers)
        return VALID(request)

    sent = {
        name: f"value of {name}"
        for name in ("x-request-id", "traceparent", "b3", "x-b3-traceid", "end-user", "cookie", "jwt", "user-agent")
    }
    get(handler, headers=sent | {"x-forwarded-for": "1.2.3.4"}, version="v2")
    assert {name: got[name] for name in sent} == sent
    assert "x-forwarded-for" not in got


def fails(error: type[httpx.TransportError]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        fails(httpx.ConnectError),
        fails(httpx.ReadTimeout),
        fails(httpx.RemoteProtocolError),
        lambda _: httpx.Response(503, json={"error": "Service unavailable"}),
        lambda _: httpx.Response(200, text="<html>"),
        lambda _: httpx.Response(200, text=""),
        lambda _: httpx.Response(200, json=[]),
        lambda _: httpx.Response(200, json={"id": 0}),
        lambda _: httpx.Response(200, json={"error": "could not connect to ratings database"}),
        lambda _: httpx.Response(204),
        lambda _: httpx.Response(302, headers={"location": "/elsewhere"}),
        stars(Reviewer1="five", Reviewer2=4),
        stars(Reviewer1=5.5, Reviewer2=4),
        stars(Reviewer1=True, Reviewer2=4),
        stars(Reviewer1=6, Reviewer2=4),
        stars(),
    ],
)
def test_a_failure_of_ratings_is_the_documented_error_in_each_review(handler: Handler) -> None:
    response = get(handler, version="v2")
    assert ratings_of(response) == [UNAVAILABLE, UNAVAILABLE]
    assert f'"text": "{T1}", "rating": {{"error": "Ratings service is currently unavailable"}}}}' in response.text


def test_only_a_reviewer_without_stars_has_the_error() -> None:
    assert ratings_of(get(stars(Reviewer2=3), version="v3")) == [UNAVAILABLE, {"stars": 3, "color": "red"}]


def test_zero_stars_is_a_rating() -> None:
    rating = {"stars": 0, "color": "black"}
    assert ratings_of(get(stars(Reviewer1=0, Reviewer2=0), version="v2")) == [rating, rating]


@pytest.mark.parametrize("path", ["/reviews", "/reviews/", "/reviews/x", "/reviews/-1", "/reviews/" + "9" * 5000])
def test_a_missing_or_invalid_id_is_400(path: str) -> None:
    response = get(path=path)
    assert (response.status_code, response.text) == (400, '{"error":"please provide numeric product id"}')


def test_the_id_is_a_string() -> None:
    assert get(path="/reviews/2147483647").json()["id"] == "2147483647"


def test_pod_and_cluster_are_null_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSTNAME", raising=False)
    settings = Settings.load()
    assert (settings.hostname, settings.cluster_name) == ("null", "null")


def test_a_pod_name_is_escaped_in_json() -> None:
    assert get(hostname='a"b\\c').json()["podname"] == 'a"b\\c'


def test_there_are_two_review_texts_without_escapes() -> None:
    assert list(TEXTS) == ["Reviewer1", "Reviewer2"]
    assert all(len(text) > 40 for text in TEXTS.values())
    assert json.dumps(T1)[1:-1] == T1  # needs no escapes in JSON


def test_health_is_the_same_as_in_the_original() -> None:
    response = get(path="/health")
    assert (response.status_code, response.text) == (200, '{"status": "Reviews is healthy"}')


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", "v4"), ("enable_ratings", "perhaps"), ("star_color", 'red"'), ("ratings_service_port", "tcp://x:1")],
)
def test_an_invalid_setting_is_rejected_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"^{name.upper()}: "):
        Settings.load(**{name: value})
