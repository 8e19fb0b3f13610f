"""The sender of a request, from the headers that a browser sets."""

import pytest

from bookinfo_lab.same_site import Sender

OWN_HOST = (b"host", b"localhost:8081")


@pytest.mark.parametrize(("host", "name"), [(b"localhost:8081", "localhost"), (b"localhost", "localhost"), (b"", "")])
def test_host_name_has_no_port(host: bytes, name: str) -> None:
    assert Sender.of([(b"host", host)]).host_name == name


def test_several_host_headers_are_no_host() -> None:
    assert Sender.of([OWN_HOST, (b"host", b"evil.example")]).host_name == ""


@pytest.mark.parametrize(
    ("origins", "own"),
    [
        ([], True),
        ([b"http://localhost:8081"], True),
        ([b"http://LOCALHOST:8081"], True),
        ([b"https://localhost:8081"], False),
        ([b"http://localhost:3000"], False),
        ([b"null"], False),
        ([b"http://localhost:8081", b"https://evil.example"], False),
    ],
)
def test_own_origin_has_the_scheme_host_and_port_of_the_server(origins: list[bytes], own: bool) -> None:
    assert Sender.of([OWN_HOST, *((b"origin", origin) for origin in origins)]).is_own_origin is own


@pytest.mark.parametrize(
    ("sites", "same"),
    [
        ([], True),
        ([b"none"], True),
        ([b"same-origin"], True),
        ([b"same-site"], False),
        ([b"none", b"same-site"], False),
    ],
)
def test_same_site_is_the_same_origin_or_no_page(sites: list[bytes], same: bool) -> None:
    assert Sender.of([OWN_HOST, *((b"sec-fetch-site", site) for site in sites)]).is_same_site is same
