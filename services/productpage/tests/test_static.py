"""Caching of the static files, at both URLs, and of the landing page."""

import gzip
import re

import pytest
from starlette.testclient import TestClient

PLAIN = "/static/style.css"


@pytest.fixture
def hashed(page: TestClient) -> str:
    """The URL of the style sheet on the page."""
    found = re.search(r'href="(/static/style\.[0-9a-f]{16}\.css)"', page.get("/productpage").text)
    assert found
    return found[1]


def test_pages_link_to_urls_with_a_hash_that_are_cached_for_a_year(page: TestClient, hashed: str) -> None:
    response = page.get(hashed)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_plain_url_has_the_same_content_and_is_revalidated(page: TestClient, hashed: str) -> None:
    response = page.get(PLAIN)
    assert response.content == page.get(hashed).content
    assert response.headers["cache-control"] == "no-cache"


def test_another_hash_is_not_found(page: TestClient) -> None:
    assert page.get("/static/style.0123456789abcdef.css").status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//style.css", "/static/", "/static"]
)
def test_other_files_are_not_served(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


@pytest.mark.parametrize("path", [PLAIN, "/", "/index.html"])
def test_a_cached_file_is_not_sent_again(page: TestClient, path: str) -> None:
    tag = page.get(path).headers["etag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        response = page.get(path, headers={"if-none-match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
    assert page.get(path, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", [PLAIN, "/"])
@pytest.mark.parametrize("accepted", ["gzip", "deflate, GZIP;q=0.5, br"])
def test_text_is_compressed_if_the_client_accepts_gzip(page: TestClient, path: str, accepted: str) -> None:
    with page.stream("GET", path, headers={"accept-encoding": accepted}) as response:
        sent = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(sent) == page.get(path, headers={"accept-encoding": "identity"}).content


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "gzip; q=0.0, br", "xgzip"])
def test_text_is_not_compressed_otherwise(page: TestClient, accepted: str) -> None:
    response = page.get(PLAIN, headers={"accept-encoding": accepted})
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "Accept-Encoding"


def test_files_have_their_media_type_and_nosniff(page: TestClient) -> None:
    types = {"style.css": "text/css", "dialog.js": "text/javascript", "img/cover.svg": "image/svg+xml"}
    for name, media_type in types.items():
        response = page.get(f"/static/{name}")
        assert response.headers["content-type"].split(";")[0] == media_type
        assert response.headers["x-content-type-options"] == "nosniff"


def test_the_style_sheet_is_smaller_than_20_kb(page: TestClient) -> None:
    assert len(page.get(PLAIN).content) < 20_000


def test_stars_of_any_color_are_visible_on_their_strip(page: TestClient) -> None:
    style = page.get("/static/style.css").text
    (rule,) = re.findall(r"^\.stars \{(.*)\}", style, re.MULTILINE)
    assert "color: #111" in rule  # for a STAR_COLOR without a rule; the strip is light in the dark theme too
