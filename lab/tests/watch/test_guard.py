"""Requests of hostile pages in the same browser. A browser sets these headers, and a page cannot change them."""

import pytest
from starlette.datastructures import Headers

from bookinfo_lab.watch.guard import rejection_reason

OWN = {"host": "localhost:8081", "sec-fetch-site": "same-origin"}
CHANGE = OWN | {"origin": "http://localhost:8081", "content-type": "application/json", "content-length": "2"}


def rejected(method: str = "GET", path: str = "/events", **headers: str) -> bool:
    """Whether a request with these headers is rejected. Header names have _ in place of -."""
    return bool(
        rejection_reason(method, path, Headers({name.replace("_", "-"): value for name, value in headers.items()}))
    )


def with_(headers: dict[str, str], **changed: str | None) -> dict[str, str]:
    renamed = {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in (headers | renamed).items() if value is not None}


@pytest.mark.parametrize("host", ["localhost:8081", "127.0.0.1:8081", "LOCALHOST:8081", "localhost", "localhost:9999"])
def test_own_host_names_are_valid_with_any_port(host: str) -> None:
    assert not rejected(**with_(OWN, host=host))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "localhost.evil.example:8081", "127.0.0.1.nip.example", "", "[::1]:8081"],
)
def test_a_name_that_was_pointed_here_is_rejected(host: str) -> None:
    """DNS rebinding: the browser treats both pages as one origin, and sends the attacker's host name."""
    assert rejected(host=host, sec_fetch_site="same-origin")
    assert rejected("POST", "/api/reset", **with_(CHANGE, host=host, origin=f"http://{host}"))


def test_a_request_without_a_name_or_with_two_is_rejected() -> None:
    assert rejection_reason("GET", "/", Headers({}))
    assert rejection_reason("GET", "/", Headers(raw=[(b"host", b"localhost:8081"), (b"host", b"evil.example")]))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost:3000", "http://127.0.0.1:8081", "https://localhost:8081", "null", ""],
)
def test_foreign_origin_is_rejected(origin: str) -> None:
    """Another port of this machine is another origin, though the same site."""
    assert rejected(**with_(OWN, origin=origin))
    assert rejected("POST", "/api/reset", **with_(CHANGE, origin=origin))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_subresource_request_of_another_site_is_rejected(site: str) -> None:
    for mode, destination in [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")]:
        for path in ("/", "/events", "/api/scenarios"):
            headers = with_(OWN, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=destination)
            assert rejected("GET", path, **headers), (mode, destination, path)


def test_link_from_another_site_opens_only_the_page() -> None:
    link = with_(OWN, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document")
    assert not rejected("GET", "/", **link)
    assert rejected("GET", "/api/scenarios", **link)
    assert rejected("POST", "/", **with_(CHANGE | link))


def test_change_of_the_page_itself_is_accepted() -> None:
    assert not rejected("POST", "/api/reset", **CHANGE)
    assert not rejected("POST", "/api/reset", **with_(CHANGE, content_type="application/json; charset=utf-8"))


def test_origin_is_enough_without_fetch_metadata() -> None:
    assert not rejected("POST", "/api/reset", **with_(CHANGE, sec_fetch_site=None))


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": None},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"content_type": None},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "multipart/form-data; boundary=x"},
        {"content_length": None},
        {"content_length": "1000000"},
        {"content_length": "-1"},
    ],
)
def test_change_with_invalid_headers_is_rejected(
    changed: dict[str, str | None],
) -> None:
    """A page can send forms and text to any server, but not JSON."""
    assert rejected("POST", "/api/reset", **with_(CHANGE, **changed))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_changes(method: str) -> None:
    assert rejected(method, "/api/reset", **OWN)
