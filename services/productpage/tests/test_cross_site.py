"""Pages of other sites cannot sign a user in. Clients other than browsers can."""

import pytest
from starlette.testclient import TestClient

ORIGIN = "http://bookinfo.example"  # the host in conftest.py


def signs_in(page: TestClient, **headers: str) -> bool:
    """Return whether a POST with these headers signs a user in. If not, it must be rejected with 403."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = page.post("/login", data={"username": "jason", "passwd": "password"}, headers=sent)
    assert response.status_code in {302, 403}
    assert ("set-cookie" in response.headers) == (response.status_code == 302)
    if response.status_code == 403:
        assert response.json() == {"error": "please sign in on Bookinfo's own page"}
    return response.status_code == 302


def test_a_client_without_browser_headers_can_sign_in(page: TestClient) -> None:
    assert signs_in(page)


def test_the_own_page_can_sign_in(page: TestClient) -> None:
    assert signs_in(page, sec_fetch_site="same-origin", origin=ORIGIN)


def test_a_browser_without_fetch_metadata_can_sign_in(page: TestClient) -> None:
    assert signs_in(page, origin=ORIGIN)


def test_signing_in_works_behind_a_gateway_that_terminates_tls(page: TestClient) -> None:
    assert signs_in(page, origin="https://bookinfo.example")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_the_page_of_another_site_cannot_sign_in(page: TestClient, site: str) -> None:
    assert not signs_in(page, sec_fetch_site=site)


def test_fetch_metadata_takes_precedence_over_origin(page: TestClient) -> None:
    assert not signs_in(page, sec_fetch_site="cross-site", origin=ORIGIN)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"{ORIGIN}:81", "http://bookinfo.example.evil", "http://["]
)
def test_another_origin_cannot_sign_in(page: TestClient, origin: str) -> None:
    assert not signs_in(page, origin=origin)
