"""What a hostile page in the same browser cannot do. Each header here is one that a browser sets and no page can."""

import pytest
from starlette.datastructures import Headers

from bookinfo_lab.watch.guard import refusal

OWN = {"host": "localhost:8081", "sec-fetch-site": "same-origin"}
CHANGE = OWN | {"origin": "http://localhost:8081", "content-type": "application/json", "content-length": "2"}


def refused(method: str = "GET", path: str = "/events", **headers: str) -> bool:
    """Whether a request with these headers is; names with _ for -."""
    return bool(refusal(method, path, Headers({name.replace("_", "-"): value for name, value in headers.items()})))


def with_(headers: dict[str, str], **changed: str | None) -> dict[str, str]:
    renamed = {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in (headers | renamed).items() if value is not None}


@pytest.mark.parametrize("host", ["localhost:8081", "127.0.0.1:8081", "LOCALHOST:8081", "localhost", "localhost:9999"])
def test_the_page_is_read_under_its_own_names_at_any_forwarded_port(host: str) -> None:
    assert not refused(**with_(OWN, host=host))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "localhost.evil.example:8081", "127.0.0.1.nip.example", "", "[::1]:8081"],
)
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    """DNS rebinding: the browser takes the attacker's page and ours for one origin, and sends the attacker's name."""
    assert refused(host=host, sec_fetch_site="same-origin")
    assert refused("POST", "/api/reset", **with_(CHANGE, host=host, origin=f"http://{host}"))


def test_a_request_without_a_name_or_with_two_is_refused() -> None:
    assert refusal("GET", "/", Headers({}))
    assert refusal("GET", "/", Headers(raw=[(b"host", b"localhost:8081"), (b"host", b"evil.example")]))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost:3000", "http://127.0.0.1:8081", "https://localhost:8081", "null", ""],
)
def test_another_origin_neither_reads_nor_changes(origin: str) -> None:
    """Another port of this machine is another origin, though the same site."""
    assert refused(**with_(OWN, origin=origin))
    assert refused("POST", "/api/reset", **with_(CHANGE, origin=origin))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_page_reads_nothing_and_embeds_nothing(site: str) -> None:
    for mode, destination in [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")]:
        for path in ("/", "/events", "/api/scenarios"):
            headers = with_(OWN, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=destination)
            assert refused("GET", path, **headers), (mode, destination, path)


def test_a_link_from_elsewhere_opens_the_page_and_nothing_else() -> None:
    link = with_(OWN, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document")
    assert not refused("GET", "/", **link)
    assert refused("GET", "/api/scenarios", **link)
    assert refused("POST", "/", **with_(CHANGE | link))


def test_the_pages_own_change_is_let_through() -> None:
    assert not refused("POST", "/api/reset", **CHANGE)
    assert not refused("POST", "/api/reset", **with_(CHANGE, content_type="application/json; charset=utf-8"))


def test_a_browser_without_fetch_metadata_is_known_by_its_origin() -> None:
    assert not refused("POST", "/api/reset", **with_(CHANGE, sec_fetch_site=None))


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
def test_a_form_of_another_page_or_anything_else_that_is_not_ours_changes_nothing(
    changed: dict[str, str | None],
) -> None:
    """A page can send forms and text to anywhere without being asked; JSON it cannot."""
    assert refused("POST", "/api/reset", **with_(CHANGE, **changed))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_held_to_the_same(method: str) -> None:
    assert refused(method, "/api/reset", **OWN)
