"""Signing in and out, and the user that is sent to the other services."""

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest
from fastapi import Request
from itsdangerous import URLSafeSerializer
from starlette.testclient import TestClient

from bookinfo_productpage.forwarded import TrustedPeers
from bookinfo_productpage.session import Sessions, end_user_header

FakeBackends = Any
Start = Callable[..., TestClient]

FORM = {"username": "jason", "passwd": "anything"}
HTTPS = {"x-forwarded-proto": "https"}


def set_cookie(response: Any) -> str:
    return str(response.headers.get("set-cookie", ""))


# --- signing in -------------------------------------------------------------------------------------------------------


def test_a_form_signs_in_and_redirects_to_the_product_page(page: TestClient) -> None:
    response = page.post("/login", data=FORM)
    assert (response.status_code, response.headers["location"]) == (302, "/productpage")
    text = page.get("/productpage").text
    assert "Signed in as" in text
    assert "jason" in text
    assert "Sign out" in text
    assert "Sign in<" not in text


def test_without_a_session_the_page_offers_to_sign_in(page: TestClient) -> None:
    text = page.get("/productpage").text
    assert "Sign in" in text
    assert "Sign out" not in text
    assert "Any name and any password are accepted" in text


def test_a_name_in_the_query_signs_in(page: TestClient) -> None:
    assert page.post("/login?username=jason").status_code == 302
    assert "jason" in page.get("/productpage").text


def test_the_query_takes_precedence_over_the_form(page: TestClient) -> None:
    page.post("/login?username=query", data={"username": "form"})
    assert "query" in page.get("/productpage").text


def test_a_multipart_form_signs_in(page: TestClient) -> None:
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
def test_an_invalid_name_is_rejected(page: TestClient, data: dict[str, str]) -> None:
    response = page.post("/login", data=data)
    assert (response.status_code, response.json()) == (
        400,
        {"error": "please provide a user name of 1 to 200 characters"},
    )
    assert set_cookie(response) == ""


@pytest.mark.parametrize(
    ("charset", "name"),
    [("unicode_escape", b"\\ud800"), ("utf-7", b"+2AA-"), ("idna", b"xn--a"), ("punycode", b"xn--0")],
)
def test_an_unusual_character_set_is_not_an_unhandled_error(page: TestClient, charset: str, name: bytes) -> None:
    body = b"--x\r\ncontent-disposition: form-data; name=username\r\n\r\n" + name + b"\r\n--x--\r\n"
    response = page.post(
        "/login", content=body, headers={"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    )
    assert response.status_code in {302, 400}


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
def test_an_invalid_or_too_long_form_is_rejected(page: TestClient, content_type: str, body: bytes, status: int) -> None:
    response = page.post("/login", content=body, headers={"content-type": content_type})
    assert (response.status_code, list(response.json())) == (status, ["error"])


def test_an_uploaded_file_is_not_a_name(page: TestClient) -> None:
    assert page.post("/login", files={"username": ("name.txt", b"jason")}).status_code == 400


def test_login_supports_only_post(page: TestClient) -> None:
    response = page.get("/login")
    assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")


# --- redirects --------------------------------------------------------------------------------------------------------


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
def test_login_and_logout_redirect_only_to_pages_of_this_site(
    page: TestClient, action: str, referer: str | None, location: str
) -> None:
    headers = {} if referer is None else {"referer": referer}
    response = page.request("POST" if action == "login" else "GET", f"/{action}?username=jason", headers=headers)
    assert (response.status_code, response.headers["location"]) == (302, location)


# --- signing out ------------------------------------------------------------------------------------------------------


def test_logout_deletes_the_cookie(page: TestClient) -> None:
    page.post("/login", data=FORM)
    response = page.get("/logout")
    assert response.status_code == 302
    assert 'session="";' in set_cookie(response)
    assert "Max-Age=0" in set_cookie(response)
    assert "jason" not in page.get("/productpage").text


def test_logout_without_a_session_sets_no_cookie(page: TestClient) -> None:
    assert set_cookie(page.get("/logout")) == ""


# --- the cookie -------------------------------------------------------------------------------------------------------


def test_the_cookie_is_httponly_samesite_lax_and_ends_with_the_session(page: TestClient) -> None:
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
def test_an_invalid_cookie_is_not_a_session(page: TestClient, backends: FakeBackends, cookie: str) -> None:
    response = page.get("/productpage", headers={"cookie": b"session=" + cookie.encode("latin-1")})
    assert response.status_code == 200
    assert "Sign in" in response.text
    assert "Sign out" not in response.text
    assert all("end-user" not in request.headers for request in backends.requests)


def test_replicas_with_the_same_secret_share_sessions(start: Start) -> None:
    one, other = start(), start()
    cookie = SimpleCookie(set_cookie(one.post("/login", data=FORM)))["session"].value
    assert "jason" in other.get("/productpage", headers={"cookie": f"session={cookie}"}).text


def test_without_a_secret_a_random_key_is_used_and_logged(
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
def test_x_forwarded_proto_of_a_trusted_peer_makes_the_cookie_secure(start: Start, peer: str) -> None:
    page = start(peer=peer)
    assert "secure" in set_cookie(page.post("/login", data=FORM, headers=HTTPS)).lower()
    assert "secure" not in set_cookie(page.post("/login", data=FORM)).lower()
    assert "secure" not in set_cookie(page.post("/login", data=FORM, headers={"x-forwarded-proto": "http"})).lower()


@pytest.mark.parametrize("peer", ["10.1.2.3", "127.0.0.7", "2001:db8::1", "somebody"])
def test_x_forwarded_proto_of_an_untrusted_peer_is_ignored(start: Start, peer: str) -> None:
    assert "secure" not in set_cookie(start(peer=peer).post("/login", data=FORM, headers=HTTPS)).lower()


def test_a_network_can_be_trusted(start: Start) -> None:
    page = start(peer="10.1.2.3", trusted_proxies="10.0.0.0/8,unix")
    assert "secure" in set_cookie(page.post("/login", data=FORM, headers=HTTPS)).lower()


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1,unix", True), ("127.0.0.1", False)])
def test_the_setting_decides_if_the_unix_socket_is_trusted(trusted: str, secure: bool) -> None:
    scope = {"type": "http", "scheme": "http", "client": None, "headers": [(b"x-forwarded-proto", b"https")]}
    responses: list[Any] = []

    class Recorder:
        def set_cookie(self, *_: object, **attributes: object) -> None:
            responses.append(attributes["secure"])

    sessions = Sessions("a key of enough length", TrustedPeers.parse(trusted))
    sessions.sign_in(Request(scope), Recorder(), "jason")  # type: ignore[arg-type]
    assert responses == [secure]


def test_an_https_connection_makes_the_cookie_secure(start: Start) -> None:
    page = start(peer="10.1.2.3")
    response = page.post("https://bookinfo.example/login", data=FORM)
    assert "secure" in set_cookie(response).lower()


# --- end-user ---------------------------------------------------------------------------------------------------------


def test_the_signed_in_user_is_sent_to_every_backend(page: TestClient, backends: FakeBackends) -> None:
    page.post("/login", data=FORM)
    for path in ("/productpage", "/api/v1/products/0", "/api/v1/products/0/reviews", "/api/v1/products/0/ratings"):
        page.get(path)
    assert len(backends.requests) == 5
    assert all(request.headers.get_list("end-user") == ["jason"] for request in backends.requests)


@pytest.mark.parametrize("signed_in", [True, False])
def test_an_end_user_header_of_a_client_is_dropped(page: TestClient, backends: FakeBackends, signed_in: bool) -> None:
    if signed_in:
        page.post("/login", data=FORM)
    for path in ("/productpage", "/api/v1/products/0", "/api/v1/products/0/reviews", "/api/v1/products/0/ratings"):
        page.get(path, headers=[("End-User", "eve"), ("end-user", "mallory")])
    expected = ["jason"] if signed_in else []
    assert all(request.headers.get_list("end-user") == expected for request in backends.requests)


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
def test_a_name_cannot_add_a_header(user: str, header: bytes) -> None:
    assert end_user_header(user) == header


def test_any_printable_name_is_accepted_and_escaped(page: TestClient, backends: FakeBackends) -> None:
    page.post("/login", data={"username": " <b>Zoë</b> 評 "})
    assert "&lt;b&gt;Zoë&lt;/b&gt; 評" in page.get("/productpage").text
    assert backends.requests[0].headers["end-user"] == "<b>Zo%C3%AB</b> %E8%A9%95"
