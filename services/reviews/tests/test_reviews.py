"""reviews: three builds, and what each makes of ratings' answer."""

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


GOOD = stars(Reviewer1=5, Reviewer2=4)


def ask(
    handler: Handler = GOOD, path: str = "/reviews/0", headers: dict[str, str] | None = None, **settings: Any
) -> httpx.Response:
    settings = {"hostname": "reviews-v9-abc"} | settings
    with TestClient(create_app(Settings.load(**settings), httpx.MockTransport(handler))) as client:
        answer = client.get(path, headers=headers)
    return httpx.Response(answer.status_code, headers=list(answer.headers.items()), content=answer.content)


def ratings_of(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200
    return [review.get("rating") for review in answer.json()["reviews"]]


def test_v1_has_no_ratings_and_the_originals_spacing() -> None:
    answer = ask(version="v1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == (
        '{"id": "0","podname": "reviews-v9-abc","clustername": "null","reviews": ['
        f'{{  "reviewer": "Reviewer1",  "text": "{T1}"}},{{  "reviewer": "Reviewer2",  "text": "{T2}"}}]}}'
    )


def test_v2_has_black_stars_and_the_originals_spacing() -> None:
    assert ask(version="v2", cluster_name="east").text == (
        '{"id": "0","podname": "reviews-v9-abc","clustername": "east","reviews": ['
        f'{{  "reviewer": "Reviewer1",  "text": "{T1}", "rating": {{"stars": 5, "color": "black"}}}},'
        f'{{  "reviewer": "Reviewer2",  "text": "{T2}", "rating": {{"stars": 4, "color": "black"}}}}]}}'
    )


def test_v3_has_red_stars() -> None:
    assert ratings_of(ask(version="v3")) == [{"stars": 5, "color": "red"}, {"stars": 4, "color": "red"}]


def test_v1_asks_nobody() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise AssertionError("ratings was asked")

    assert ask(handler, version="v1").status_code == 200


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
def test_the_version_tells_ratings_colour_and_time_limit_and_two_variables_override(
    settings: dict[str, str], shows: bool, color: str, limit: float
) -> None:
    loaded = Settings.load(**settings)
    assert (loaded.shows_ratings, loaded.color, loaded.ratings_time_limit) == (shows, color, limit)


def test_ratings_is_asked_once_for_the_same_book() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url} accept={request.headers['accept']}")
        return httpx.Response(503)

    ask(handler, "/reviews/7", version="v2", ratings_hostname="stars", services_domain="b.svc", ratings_service_port=81)
    assert asked == ["GET http://stars.b.svc:81/ratings/7 accept=application/json"]


def test_every_header_that_travels_on_reaches_ratings() -> None:
    got: dict[str, str] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        got.update(request.headers)
        return GOOD(request)

    sent = {
        name: f"value of {name}"
        for name in ("x-request-id", "traceparent", "b3", "x-b3-traceid", "end-user", "cookie", "jwt", "user-agent")
    }
    ask(handler, headers=sent | {"x-forwarded-for": "1.2.3.4"}, version="v2")
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
def test_whatever_ratings_does_the_reviews_are_there_with_the_documented_error(handler: Handler) -> None:
    answer = ask(handler, version="v2")
    assert ratings_of(answer) == [UNAVAILABLE, UNAVAILABLE]
    assert f'"text": "{T1}", "rating": {{"error": "Ratings service is currently unavailable"}}}}' in answer.text


def test_a_reviewer_without_stars_has_the_error_alone() -> None:
    assert ratings_of(ask(stars(Reviewer2=3), version="v3")) == [UNAVAILABLE, {"stars": 3, "color": "red"}]


def test_no_stars_is_a_rating_too() -> None:
    rating = {"stars": 0, "color": "black"}
    assert ratings_of(ask(stars(Reviewer1=0, Reviewer2=0), version="v2")) == [rating, rating]


@pytest.mark.parametrize("path", ["/reviews", "/reviews/", "/reviews/x", "/reviews/-1", "/reviews/" + "9" * 5000])
def test_an_id_that_is_missing_or_no_number_is_400(path: str) -> None:
    answer = ask(path=path)
    assert (answer.status_code, answer.text) == (400, '{"error":"please provide numeric product id"}')


def test_the_id_is_answered_as_a_string() -> None:
    assert ask(path="/reviews/2147483647").json()["id"] == "2147483647"


def test_pod_and_cluster_are_null_when_nobody_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSTNAME", raising=False)
    settings = Settings.load()
    assert (settings.hostname, settings.cluster_name) == ("null", "null")


def test_a_pods_name_cannot_break_the_json() -> None:
    assert ask(hostname='a"b\\c').json()["podname"] == 'a"b\\c'


def test_the_texts_are_long_enough_to_read_and_two() -> None:
    assert list(TEXTS) == ["Reviewer1", "Reviewer2"]
    assert all(len(text) > 40 for text in TEXTS.values())
    assert json.dumps(T1)[1:-1] == T1  # needs no escapes in the hand-made JSON


def test_health_is_the_originals() -> None:
    answer = ask(path="/health")
    assert (answer.status_code, answer.text) == (200, '{"status": "Reviews is healthy"}')


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", "v4"), ("enable_ratings", "perhaps"), ("star_color", 'red"'), ("ratings_service_port", "tcp://x:1")],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"^{name.upper()}: "):
        Settings.load(**{name: value})
