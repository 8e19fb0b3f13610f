"""Signing in and out, and who the rest of the mesh is told."""

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest
from fastapi import Request
from itsdangerous import URLSafeSerializer
from starlette.testclient import TestClient

from bookinfo_productpage.forwarded import TrustedPeers
from bookinfo_productpage.session import Sessions, end_user_header

World = Any
Start = Callable[..., TestClient]

FORM = {"username": "jason", "passwd": "anything"}
HTTPS = {"x-forwarded-proto": "https"}


def set_cookie(answer: Any) -> str:
    return str(answer.headers.get("set-cookie", ""))


# --- signing in -------------------------------------------------------------------------------------------------------


def test_a_form_signs_in_without_a_referer_and_leads_to_the_page(page: TestClient) -> None:
    answer = page.post("/login", data=FORM)
    assert (answer.status_code, answer.headers["location"]) == (302, "/productpage")
    text = page.get("/productpage").text
    assert "Signed in as" in text
    assert "jason" in text
    assert "Sign out" in text
    assert "Sign in<" not in text


def test_without_a_session_the_page_offers_to_sign_in_and_says_that_any_name_will_do(page: TestClient) -> None:
    text = page.get("/productpage").text
    assert "Sign in" in text
    assert "Sign out" not in text
    assert "Any name and any password are accepted" in text


def test_a_name_in_the_query_signs_in_too(page: TestClient) -> None:
    assert page.post("/login?username=jason").status_code == 302
    assert "jason" in page.get("/productpage").text


def test_the_query_goes_before_the_form_as_in_the_original(page: TestClient) -> None:
    page.post("/login?username=query", data={"username": "form"})
    assert "query" in page.get("/productpage").text


def test_a_multipart_form_signs_in_too(page: TestClient) -> None:
    assert page.post("/login", files={"username": (None, "jason")}).status_code == 302


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"username": ""},
        {"username": "   "},
        {"username": "a" * 201},
        {"user": "jason"},
        {"username": "a\nb"},
        {"username": "a\x1b"},
    ],
)
def test_without_a_name_of_1_to_200_characters_nobody_is_signed_in(page: TestClient, data: dict[str, str]) -> None:
    answer = page.post("/login", data=data)
    assert (answer.status_code, answer.json()) == (400, {"error": "please provide a user name of 1 to 200 characters"})
    assert set_cookie(answer) == ""


@pytest.mark.parametrize(
    ("charset", "name"),
    [("unicode_escape", b"\\ud800"), ("utf-7", b"+2AA-"), ("idna", b"xn--a"), ("punycode", b"xn--0")],
)
def test_a_multipart_form_in_an_odd_character_set_crashes_nothing(page: TestClient, charset: str, name: bytes) -> None:
    body = b"--x\r\ncontent-disposition: form-data; name=username\r\n\r\n" + name + b"\r\n--x--\r\n"
    answer = page.post(
        "/login", content=body, headers={"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    )
    assert answer.status_code in {302, 400}


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"no boundary", 400),
        ("multipart/form-data; boundary=x", b"no such boundary", 400),
        ("application/json", b'{"username": "jason"}', 400),
        ("application/x-www-form-urlencoded", b"\xff\xfe=%", 400),
        ("application/x-www-form-urlencoded", b"username=" + b"a" * 16 * 1024, 413),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"a" * 17 * 1024, 413),
    ],
)
def test_a_form_that_is_none_or_too_long_is_refused(
    page: TestClient, content_type: str, body: bytes, status: int
) -> None:
    answer = page.post("/login", content=body, headers={"content-type": content_type})
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_an_uploaded_file_is_no_name(page: TestClient) -> None:
    assert page.post("/login", files={"username": ("name.txt", b"jason")}).status_code == 400


def test_login_takes_post_alone(page: TestClient) -> None:
    answer = page.get("/login")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


# --- the way back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["login", "logout"])
@pytest.mark.parametrize(
    ("referer", "location"),
    [
        ("http://bookinfo.example/", "/"),
        ("http://bookinfo.example/productpage?u=test", "/productpage?u=test"),
        ("https://bookinfo.example/productpage#reviews", "/productpage"),
        (None, "/productpage"),
        ("", "/productpage"),
        ("None", "/productpage"),
        ("http://bookinfo.example", "/productpage"),
        ("http://evil.example/", "/productpage"),
        ("http://bookinfo.example.evil.example/", "/productpage"),
        ("http://bookinfo.example@evil.example/", "/productpage"),
        ("http://bookinfo.example//evil.example/", "/productpage"),
        ("http://bookinfo.example/\\evil.example/", "/productpage"),
        ("//evil.example/", "/productpage"),
        ("http:///evil.example/", "/productpage"),
        ("javascript:alert(1)", "/productpage"),
        ("/productpage", "/productpage"),
        ("http://bookinfo.example/login", "/productpage"),
        ("http://bookinfo.example/logout?now=1", "/productpage"),
        ("http://[bookinfo.example/", "/productpage"),
        ("http://[::1/", "/productpage"),
    ],
)
def test_the_way_back_is_where_one_was_here_and_never_another_site(
    page: TestClient, action: str, referer: str | None, location: str
) -> None:
    headers = {} if referer is None else {"referer": referer}
    answer = page.request("POST" if action == "login" else "GET", f"/{action}?username=jason", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (302, location)


# --- signing out ------------------------------------------------------------------------------------------------------


def test_logout_takes_the_cookie_back(page: TestClient) -> None:
    page.post("/login", data=FORM)
    answer = page.get("/logout")
    assert answer.status_code == 302
    assert 'session="";' in set_cookie(answer)
    assert "Max-Age=0" in set_cookie(answer)
    assert "jason" not in page.get("/productpage").text


def test_logout_without_a_session_sets_no_cookie(page: TestClient) -> None:
    assert set_cookie(page.get("/logout")) == ""


# --- the cookie -------------------------------------------------------------------------------------------------------


def test_the_cookie_is_out_of_scripts_reach_for_the_whole_site_and_the_browsers_session(page: TestClient) -> None:
    cookie = set_cookie(page.post("/login", data=FORM))
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "path=/", "samesite=lax"}


def signed(value: object, key: str = "a key of enough length") -> str:
    return str(URLSafeSerializer(key, salt="bookinfo-session").dumps(value))


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "garbage",
        "garbage.with.dots",
        ".",
        "\xff\xfe",
        signed({"user": "eve"}, key="another key of enough length"),
        signed({"user": "jason"}).replace(".", ".x"),
        signed({"user": "jason"})[:-1],
        "eyJ1c2VyIjoiamFzb24ifQ.Zm9yZ2Vk",
        signed({"user": None}),
        signed({"user": 5}),
        signed({"user": ""}),
        signed({}),
        signed(["jason"]),
        signed("jason"),
        signed(None),
    ],
)
def test_a_cookie_that_was_not_signed_here_or_names_nobody_is_no_session(
    page: TestClient, world: World, cookie: str
) -> None:
    answer = page.get("/productpage", headers={"cookie": b"session=" + cookie.encode("latin-1")})
    assert answer.status_code == 200
    assert "Sign in" in answer.text
    assert "Sign out" not in answer.text
    assert all("end-user" not in request.headers for request in world.asked)


def test_replicas_with_one_secret_know_each_others_users(start: Start) -> None:
    one, other = start(), start()
    cookie = SimpleCookie(set_cookie(one.post("/login", data=FORM)))["session"].value
    assert "jason" in other.get("/productpage", headers={"cookie": f"session={cookie}"}).text


def test_without_a_secret_a_random_one_is_used_and_that_is_said(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    one, other = start(session_secret=None), start(session_secret=None)
    cookie = SimpleCookie(set_cookie(one.post("/login", data=FORM)))["session"].value
    assert "jason" in one.get("/productpage").text
    assert "jason" not in other.get("/productpage", headers={"cookie": f"session={cookie}"}).text
    assert sum("SESSION_SECRET is not set" in message for message in caplog.messages) == 2


# --- https ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "127.0.0.6"])
def test_a_trusted_peer_that_claims_https_makes_the_cookie_secure(start: Start, peer: str) -> None:
    page = start(peer=peer)
    assert "secure" in set_cookie(page.post("/login", data=FORM, headers=HTTPS)).lower()
    assert "secure" not in set_cookie(page.post("/login", data=FORM)).lower()
    assert "secure" not in set_cookie(page.post("/login", data=FORM, headers={"x-forwarded-proto": "http"})).lower()


@pytest.mark.parametrize("peer", ["10.1.2.3", "127.0.0.7", "2001:db8::1", "somebody"])
def test_an_untrusted_peer_is_not_believed(start: Start, peer: str) -> None:
    assert "secure" not in set_cookie(start(peer=peer).post("/login", data=FORM, headers=HTTPS)).lower()


def test_networks_can_be_trusted(start: Start) -> None:
    page = start(peer="10.1.2.3", trusted_proxies="10.0.0.0/8,unix")
    assert "secure" in set_cookie(page.post("/login", data=FORM, headers=HTTPS)).lower()


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1,unix", True), ("127.0.0.1", False)])
def test_the_peer_on_a_unix_socket_is_trusted_when_the_setting_says_so(trusted: str, secure: bool) -> None:
    scope = {"type": "http", "scheme": "http", "client": None, "headers": [(b"x-forwarded-proto", b"https")]}
    answers: list[Any] = []

    class Recorder:
        def set_cookie(self, *_: object, **attributes: object) -> None:
            answers.append(attributes["secure"])

    sessions = Sessions("a key of enough length", TrustedPeers.parse(trusted))
    sessions.sign_in(Request(scope), Recorder(), "jason")  # type: ignore[arg-type]
    assert answers == [secure]


def test_a_connection_that_is_encrypted_itself_needs_nobodys_claim(start: Start) -> None:
    page = start(peer="10.1.2.3")
    answer = page.post("https://bookinfo.example/login", data=FORM)
    assert "secure" in set_cookie(answer).lower()


# --- end-user ---------------------------------------------------------------------------------------------------------


def test_the_mesh_is_told_the_user_of_the_session(page: TestClient, world: World) -> None:
    page.post("/login", data=FORM)
    for path in ("/productpage", "/api/v1/products/0", "/api/v1/products/0/reviews", "/api/v1/products/0/ratings"):
        page.get(path)
    assert len(world.asked) == 5
    assert all(request.headers.get_list("end-user") == ["jason"] for request in world.asked)


@pytest.mark.parametrize("signed_in", [True, False])
def test_an_end_user_from_outside_is_dropped(page: TestClient, world: World, signed_in: bool) -> None:
    if signed_in:
        page.post("/login", data=FORM)
    for path in ("/productpage", "/api/v1/products/0", "/api/v1/products/0/reviews", "/api/v1/products/0/ratings"):
        page.get(path, headers=[("End-User", "eve"), ("end-user", "mallory")])
    expected = ["jason"] if signed_in else []
    assert all(request.headers.get_list("end-user") == expected for request in world.asked)


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ("jason", b"jason"),
        ("Ann Lee", b"Ann Lee"),
        ("a=b;c,d", b"a=b;c,d"),
        ("Zoë", b"Zo%C3%AB"),
        ("評", b"%E8%A9%95"),
        ("100%", b"100%25"),
        ("a\r\nx-admin: 1", b"a%0D%0Ax-admin: 1"),
        ("\x00\x7f", b"%00%7F"),
    ],
)
def test_a_name_can_neither_break_the_header_nor_add_one(user: str, header: bytes) -> None:
    assert end_user_header(user) == header


def test_any_printable_name_may_sign_in_and_is_shown_as_text(page: TestClient, world: World) -> None:
    page.post("/login", data={"username": " <b>Zoë</b> 評 "})
    assert "&lt;b&gt;Zoë&lt;/b&gt; 評" in page.get("/productpage").text
    assert world.asked[0].headers["end-user"] == "<b>Zo%C3%AB</b> %E8%A9%95"
