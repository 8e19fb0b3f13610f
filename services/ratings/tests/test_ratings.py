"""ratings: stars by reviewer, kept in memory."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from bookinfo_chassis.settings import InvalidSettingsError
from bookinfo_ratings.app import create_app
from bookinfo_ratings.settings import Settings
from bookinfo_ratings.store import MAX_BOOKS, Store

BAD_RATINGS = (400, '{"error":"please provide valid ratings JSON"}')


@pytest.fixture
def ratings() -> Iterator[TestClient]:
    with TestClient(create_app(Settings.load())) as client:
        yield client


def post(ratings: TestClient, body: bytes | str) -> tuple[int, str]:
    response = ratings.post("/ratings/7", content=body)
    return response.status_code, response.text


@pytest.mark.smoke
def test_default_ratings_are_the_same_bytes_as_in_the_original(ratings: TestClient) -> None:
    response = ratings.get("/ratings/7")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.content == b'{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}'


def test_posted_ratings_are_returned_and_kept(ratings: TestClient) -> None:
    expected = '{"id":7,"ratings":{"Reviewer1":1,"Reviewer2":1}}'
    assert post(ratings, '{"Reviewer1":1,"Reviewer2":1}') == (200, expected)
    assert ratings.get("/ratings/7").text == expected


def test_posted_ratings_do_not_affect_other_books(ratings: TestClient) -> None:
    post(ratings, '{"Reviewer1":1}')
    assert ratings.get("/ratings/8").json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


def test_a_post_replaces_all_ratings_of_a_book(ratings: TestClient) -> None:
    post(ratings, '{"Reviewer1":1,"Reviewer2":2}')
    post(ratings, '{"Reviewer3":3}')
    assert ratings.get("/ratings/7").json()["ratings"] == {"Reviewer3": 3}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("bad", ["/", "/x", "/-1", "/7abc", "/" + "9" * 5000, ""])
def test_a_missing_or_invalid_id_is_400(ratings: TestClient, method: str, bad: str) -> None:
    response = ratings.request(method, f"/ratings{bad}", content=b'{"Reviewer1":1}' if method == "POST" else None)
    assert (response.status_code, response.text) == (400, '{"error":"please provide numeric product ID"}')


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not JSON",
        "null",
        "5",
        '"Reviewer1"',
        "[]",
        '[{"Reviewer1":1}]',
        '{"Reviewer1":0}',
        '{"Reviewer1":6}',
        '{"Reviewer1":-1}',
        '{"Reviewer1":1.0}',
        '{"Reviewer1":4.5}',
        '{"Reviewer1":1e0}',
        '{"Reviewer1":"5"}',
        '{"Reviewer1":true}',
        '{"Reviewer1":null}',
        '{"Reviewer1":NaN}',
        '{"Reviewer1":Infinity}',
        '{"Reviewer1":' + "9" * 5000 + "}",
        '{"Reviewer1":{}}',
        '{"":1}',
        '{"Reviewer1":1',
        '{"Reviewer1":1}x',
        '{"\\ud800":1}',
        '{"Reviewer1":9,"Reviewer1":1,}',
        "[" * 30_000,
        '{"a":' * 10_000,
        json.dumps({"r" * 201: 1}),
        json.dumps({f"r{number}": 1 for number in range(101)}),
        b'\xff\xfe{"Reviewer1":1}',
        b'{"\xff":1}',
    ],
    ids=lambda body: str(body[:24]),
)
def test_invalid_ratings_are_rejected_and_not_stored(ratings: TestClient, body: bytes | str) -> None:
    assert post(ratings, body) == BAD_RATINGS
    assert ratings.get("/ratings/7").json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


def test_100_reviewers_are_accepted(ratings: TestClient) -> None:
    body = {f"reviewer {number}": 1 + number % 5 for number in range(100)}
    assert post(ratings, json.dumps(body))[0] == 200
    assert ratings.get("/ratings/7").json()["ratings"] == body


def test_empty_ratings_are_accepted(ratings: TestClient) -> None:
    assert post(ratings, "{}") == (200, '{"id":7,"ratings":{}}')


def test_the_last_of_two_equal_names_is_used(ratings: TestClient) -> None:
    assert post(ratings, '{"Reviewer1":1,"Reviewer1":2}') == (200, '{"id":7,"ratings":{"Reviewer1":2}}')


def test_names_of_any_script_are_accepted(ratings: TestClient) -> None:
    assert post(ratings, '{"評者":5}') == (200, '{"id":7,"ratings":{"評者":5}}')


def test_a_body_is_limited_to_64_kib(ratings: TestClient) -> None:
    body = b'{"Reviewer1":1}'.ljust(64 * 1024)
    assert post(ratings, body)[0] == 200
    assert post(ratings, body + b" ") == BAD_RATINGS


def test_a_body_beyond_the_limit_is_rejected_before_its_end(ratings: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 16 * 1024

    response = ratings.post("/ratings/7", content=endless())
    assert response.status_code == 400


def test_the_store_is_bounded() -> None:
    store = Store()
    for number in range(MAX_BOOKS):
        store.put(number, {})
    ratings = TestClient(create_app(Settings.load(), store=store))
    response = ratings.post(f"/ratings/{MAX_BOOKS}", content='{"Reviewer1":1}')
    assert (response.status_code, response.json()) == (
        507,
        {"error": f"the store already has ratings for {MAX_BOOKS} books"},
    )
    assert ratings.post("/ratings/7", content='{"Reviewer1":1}').status_code == 200


def test_two_processes_have_separate_stores() -> None:
    with TestClient(create_app(Settings.load())) as one, TestClient(create_app(Settings.load())) as other:
        post(one, '{"Reviewer1":1}')
        assert other.get("/ratings/7").json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


def test_health_is_the_same_as_in_the_original(ratings: TestClient) -> None:
    response = ratings.get("/health")
    assert (response.status_code, response.text) == (200, '{"status":"Ratings is healthy"}')


@pytest.mark.parametrize("version", ["v2", "v2-mysql", "v3", "V1", "v-sick"])
def test_an_unknown_version_is_rejected(version: Any) -> None:
    with pytest.raises(InvalidSettingsError, match="input should be 'v1', 'v-faulty', 'v-delayed'"):
        Settings.load(version=version)
