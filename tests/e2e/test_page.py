"""The product page in each state, in a real browser without a network."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

Visitor = Callable[..., Page]
Accessible = Callable[[Page], None]
Picture = Callable[[Page, str], None]

STATES: dict[str, dict[str, list[str]]] = {
    "no stars": {"reviews": ["reviews-v1"]},
    "black stars": {"reviews": ["reviews-v2"]},
    "red stars": {"reviews": ["reviews-v3"]},
    "no ratings": {"ratings": ["503"]},
    "no details": {"details": ["503"]},
    "no reviews": {"reviews": ["503"]},
    "invalid responses": {"details": ["invalid response"], "reviews": ["invalid response"]},
    "hostile backends": {"details": ["hostile"], "reviews": ["hostile"]},
}
LOOKS = {"phone, dark": (320, True), "wide, light": (1440, False)}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def hop(page: Page, name: str):
    """Return the part of the page about a service."""
    return page.locator(".hop").filter(has=page.locator(".name", has_text=re.compile(f"^{name}")))


@pytest.fixture(params=STATES)
def state(request: pytest.FixtureRequest, mesh) -> str:
    """Each state of the page."""
    mesh.to.update(STATES[request.param])
    return request.param


@pytest.mark.parametrize("look", LOOKS)
def test_page_is_accessible_and_fits_the_screen(
    visitor: Visitor, url: str, assert_accessible: Accessible, state: str, look: str
) -> None:
    width, dark = LOOKS[look]
    page = visitor(width, dark=dark)
    page.goto(f"{url}/productpage")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_versions_alternate_on_reload(visitor: Visitor, mesh, url: str) -> None:
    mesh.to["reviews"] = ["reviews-v1", "reviews-v2", "reviews-v3"]
    page = visitor()
    seen = set()
    for _ in range(12):
        page.goto(f"{url}/productpage")
        version = hop(page, "reviews").locator("b").inner_text()
        black, red = page.get_by_text("black stars").count(), page.get_by_text("red stars").count()
        assert (black, red) == {"v1": (0, 0), "v2": (2, 0), "v3": (0, 2)}[version]
        seen.add(version)
    assert seen == {"v1", "v2", "v3"}


def test_page_shows_the_whole_book(visitor: Visitor, url: str, picture: Picture) -> None:
    page = visitor(1440, 900)
    page.goto(f"{url}/productpage")
    expect(page).to_have_title("Simple Bookstore App")
    expect(page.get_by_role("heading", level=1)).to_have_text("The Comedy of Errors")
    assert page.locator(".cover").evaluate("image => image.naturalWidth") > 0
    terms, facts = (page.locator(f".details {tag}").all_inner_texts() for tag in ("dt", "dd"))
    assert dict(zip(terms, facts, strict=True)) == {
        "Author": "William Shakespeare",
        "Year": "1595",
        "Type": "paperback",
        "Pages": "200",
        "Publisher": "PublisherA",
        "Language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }
    expect(page.get_by_role("img", name="5 of 5 stars, black")).to_be_visible()
    expect(page.get_by_role("img", name="4 of 5 stars, black")).to_be_visible()
    picture(page, "page")


@pytest.mark.parametrize("dark", [False, True])
def test_stars_have_the_color_of_their_version(visitor: Visitor, mesh, url: str, dark: bool) -> None:
    fills = {}
    for color, version in (("black", "reviews-v2"), ("red", "reviews-v3")):
        mesh.reset(version)
        page = visitor(dark=dark)
        page.goto(f"{url}/productpage")
        star, hollow = page.locator(".glyphicon-star").first, page.locator(".empty").first
        assert star.bounding_box()["width"] > 10
        assert hollow.evaluate("star => getComputedStyle(star).fill") == "none"
        fills[color] = channels(star.evaluate("star => getComputedStyle(star).fill"))
    assert fills["black"] == [17, 17, 17]
    red, green, blue = fills["red"]
    assert red > 2 * max(green, blue)


def test_black_stars_have_a_light_background_in_dark_mode(visitor: Visitor, url: str) -> None:
    page = visitor(dark=True)
    page.goto(f"{url}/productpage")
    background = page.get_by_role("img", name="5 of 5 stars, black")
    assert min(channels(background.evaluate("element => getComputedStyle(element).backgroundColor"))) > 200


def channels(color: str) -> list[int]:
    """Return red, green and blue of a computed color."""
    return [int(number) for number in re.findall(r"\d+", color)]


def test_page_names_the_pods_that_served_it(visitor: Visitor, mesh, url: str, picture: Picture) -> None:
    mesh.reset("reviews-v3")
    request = "5d2c9f6e-8b1a-4f3e-9c7d-2a6b0e4f1c38"
    page = visitor(
        1440, 900, dark=True, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-request-id": request}
    )
    page.goto(f"{url}/productpage")
    for name, pod in (
        ("productpage", "productpage-v1-5d9f8c7b6d-w7c2l"),
        ("details", "details-v1-6cf8d5c7b9-m4x2k"),
        ("reviews", "reviews-v3-69d5f7b8cf-k3p6s"),
    ):
        expect(hop(page, name).locator("b")).to_have_text(pod.split("-")[1])
        expect(hop(page, name).locator(".pod code")).to_have_text(pod)
    for name in ("details", "reviews"):
        expect(hop(page, name).locator(".took")).to_have_text(re.compile(r"^\d+(\.\d)? m?s$"))
    expect(hop(page, "ratings")).to_contain_text("responded to reviews")
    expect(page.get_by_role("link", name=TRACE)).to_have_attribute("href", f"http://127.0.0.1:9/trace/{TRACE}")
    expect(page.locator(".served")).to_contain_text(request)
    picture(page, "dark")


def test_page_without_details_shows_the_rest(visitor: Visitor, mesh, url: str) -> None:
    mesh.to["details"] = ["503"]
    page = visitor()
    page.goto(f"{url}/productpage")
    expect(page.get_by_role("heading", name="Error fetching product details")).to_be_visible()
    expect(page.get_by_text("Sorry, product details are currently unavailable for this book.")).to_be_visible()
    expect(hop(page, "details")).to_contain_text("a proxy returned 503: the response names no pod")
    expect(page.get_by_role("heading", name="Book Reviews")).to_be_visible()


def test_page_without_reviews_shows_the_rest(visitor: Visitor, mesh, url: str) -> None:
    mesh.to["reviews"] = ["invalid response"]
    page = visitor()
    page.goto(f"{url}/productpage")
    expect(page.get_by_role("heading", name="Error fetching product reviews")).to_be_visible()
    expect(page.get_by_text("Sorry, product reviews are currently unavailable for this book.")).to_be_visible()
    expect(hop(page, "reviews")).to_contain_text("sent an invalid response, called 2 times")
    expect(hop(page, "ratings")).to_contain_text("unknown: reviews did not respond")
    expect(page.get_by_role("heading", name="Book Details")).to_be_visible()


def test_reviews_without_ratings_say_so(visitor: Visitor, mesh, url: str) -> None:
    mesh.to["ratings"] = ["503"]
    page = visitor()
    page.goto(f"{url}/productpage")
    expect(page.locator("article").get_by_text("Ratings service is currently unavailable")).to_have_count(2)
    expect(page.locator(".glyphicon-star")).to_have_count(0)
    expect(hop(page, "ratings")).to_contain_text("did not respond to reviews")


def test_timeout_of_a_slow_backend_is_shown(visitor: Visitor, mesh, url: str, picture: Picture) -> None:
    mesh.to["reviews"] = ["no response"]
    page = visitor(1440, 900)
    page.goto(f"{url}/productpage")
    expect(hop(page, "reviews")).to_contain_text("no response within 3 s, called 2 times")
    expect(hop(page, "reviews").locator(".took")).to_have_text(re.compile(r"^[67]\.\d s$"))
    bars = [bar.bounding_box()["width"] for bar in page.locator(".took rect").all()]
    details, reviews = bars
    assert details < reviews / 5
    picture(page, "degraded")


def test_content_of_backends_is_shown_as_text(visitor: Visitor, mesh, url: str) -> None:
    mesh.to |= {"details": ["hostile"], "reviews": ["hostile"]}
    page = visitor()
    page.goto(f"{url}/productpage")
    expect(page).to_have_title("Simple Bookstore App")
    expect(page.locator("article script, .details img, [onmouseover]")).to_have_count(0)
    expect(page.locator(".details")).to_contain_text("<script>")
    expect(page.locator(".details")).to_contain_text("{{ 7 * 7 }}")


def test_landing_page_links_to_the_book_and_the_api(
    visitor: Visitor, url: str, assert_accessible: Accessible, picture: Picture
) -> None:
    page = visitor(1440, 900)
    page.goto(f"{url}/index.html")
    for service in ("productpage", "details", "reviews", "ratings"):
        expect(page.get_by_role("term").filter(has_text=service)).to_be_visible()
    assert page.locator(".system").evaluate("image => image.naturalWidth") > 0
    assert_accessible(page)
    page.get_by_role("link", name="The API").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("productpage")
    page.goto(f"{url}/")
    page.get_by_role("link", name="Open the product page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The Comedy of Errors")


@pytest.mark.parametrize("look", LOOKS)
def test_landing_page_is_accessible_and_fits_the_screen(
    visitor: Visitor, url: str, assert_accessible: Accessible, look: str
) -> None:
    width, dark = LOOKS[look]
    page = visitor(width, dark=dark)
    page.goto(f"{url}/")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_second_visit_uses_the_cache(visitor: Visitor, url: str) -> None:
    page = visitor()
    page.goto(f"{url}/productpage")
    sizes = """() => performance.getEntriesByType("resource").map(entry => [entry.name, entry.transferSize])"""
    first = dict(page.evaluate(sizes))
    assert any("/static/style." in name and size > 0 for name, size in first.items())
    page.goto(f"{url}/")
    page.goto(f"{url}/productpage")
    again = dict(page.evaluate(sizes))
    assert again.keys() == first.keys()
    assert set(again.values()) == {0}
