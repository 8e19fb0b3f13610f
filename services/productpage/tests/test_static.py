"""What browsers may keep: the static files under two names, and the landing page."""

import gzip
import re

import pytest
from starlette.testclient import TestClient

PLAIN = "/static/style.css"


@pytest.fixture
def hashed(page: TestClient) -> str:
    """The style sheet's address, as the page has it."""
    found = re.search(r'href="(/static/style\.[0-9a-f]{16}\.css)"', page.get("/productpage").text)
    assert found
    return found[1]


def test_pages_link_to_names_that_hold_the_contents_hash_and_are_kept_for_a_year(page: TestClient, hashed: str) -> None:
    answer = page.get(hashed)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_plain_name_gives_the_same_bytes_and_is_asked_about_each_time(page: TestClient, hashed: str) -> None:
    answer = page.get(PLAIN)
    assert answer.content == page.get(hashed).content
    assert answer.headers["cache-control"] == "no-cache"


def test_another_hash_is_not_found(page: TestClient) -> None:
    assert page.get("/static/style.0123456789abcdef.css").status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//style.css", "/static/", "/static"]
)
def test_nothing_else_is_served(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


@pytest.mark.parametrize("path", [PLAIN, "/", "/index.html"])
def test_what_a_browser_has_is_not_sent_again(page: TestClient, path: str) -> None:
    tag = page.get(path).headers["etag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        answer = page.get(path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert page.get(path, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", [PLAIN, "/"])
@pytest.mark.parametrize("accepted", ["gzip", "deflate, GZIP;q=0.5, br"])
def test_text_is_gzipped_for_those_who_take_it(page: TestClient, path: str, accepted: str) -> None:
    with page.stream("GET", path, headers={"accept-encoding": accepted}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(sent) == page.get(path, headers={"accept-encoding": "identity"}).content


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "gzip; q=0.0, br", "xgzip"])
def test_others_get_it_plain(page: TestClient, accepted: str) -> None:
    answer = page.get(PLAIN, headers={"accept-encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"


def test_no_file_is_taken_for_another_type(page: TestClient) -> None:
    types = {"style.css": "text/css", "dialog.js": "text/javascript", "img/cover.svg": "image/svg+xml"}
    for name, media_type in types.items():
        answer = page.get(f"/static/{name}")
        assert answer.headers["content-type"].split(";")[0] == media_type
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_style_sheet_is_small(page: TestClient) -> None:
    assert len(page.get(PLAIN).content) < 20_000


def test_stars_of_any_colour_are_seen_on_their_strip(page: TestClient) -> None:
    style = page.get("/static/style.css").text
    (rule,) = re.findall(r"^\.stars \{(.*)\}", style, re.MULTILINE)
    assert "color: #111" in rule  # for a STAR_COLOR that has no rule of its own; the strip is light in the dark too
