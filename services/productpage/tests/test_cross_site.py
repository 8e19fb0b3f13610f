"""Signing in is safe against other sites' pages, and needs no browser."""

import pytest
from starlette.testclient import TestClient

HERE = "http://bookinfo.example"  # as conftest.py names it


def signs_in(page: TestClient, **headers: str) -> bool:
    """Whether a post with these headers signs somebody in; if not, it must be refused as such."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = page.post("/login", data={"username": "jason", "passwd": "password"}, headers=sent)
    assert answer.status_code in {302, 403}
    assert ("set-cookie" in answer.headers) == (answer.status_code == 302)
    if answer.status_code == 403:
        assert answer.json() == {"error": "please sign in on Bookinfo's own page"}
    return answer.status_code == 302


def test_a_client_that_is_no_browser_signs_in(page: TestClient) -> None:
    assert signs_in(page)


def test_the_page_itself_signs_in(page: TestClient) -> None:
    assert signs_in(page, sec_fetch_site="same-origin", origin=HERE)


def test_a_browser_without_fetch_metadata_signs_in_from_the_page(page: TestClient) -> None:
    assert signs_in(page, origin=HERE)


def test_a_gateway_that_ends_tls_changes_nothing(page: TestClient) -> None:
    assert signs_in(page, origin="https://bookinfo.example")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_another_sites_page_does_not(page: TestClient, site: str) -> None:
    assert not signs_in(page, sec_fetch_site=site)


def test_fetch_metadata_goes_before_the_origin(page: TestClient) -> None:
    assert not signs_in(page, sec_fetch_site="cross-site", origin=HERE)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"{HERE}:81", "http://bookinfo.example.evil", "http://["]
)
def test_another_origin_does_not(page: TestClient, origin: str) -> None:
    assert not signs_in(page, origin=origin)
