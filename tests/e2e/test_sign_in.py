"""Signing in and out, with and without JavaScript, with the mouse and with the keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

Visitor = Callable[..., Page]
Accessible = Callable[[Page], None]
Picture = Callable[[Page, str], None]


def sign_in(page: Page, url: str, name: str) -> None:
    """Sign in as a user does."""
    page.goto(f"{url}/productpage")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill("any")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Sign out")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_user_signs_in_and_out(visitor: Visitor, mesh, url: str, scripts: bool) -> None:
    page = visitor(scripts=scripts)
    sign_in(page, url, "jason")
    expect(page).to_have_url(f"{url}/productpage")
    expect(page.locator(".user")).to_have_text("Signed in as jason")
    expect(page.locator(".served")).to_contain_text("Header end-user\njason", use_inner_text=True)

    mesh.calls.clear()
    page.reload()
    assert {headers.get("end-user") for _, headers in mesh.calls} == {"jason"}

    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    expect(page.get_by_text("jason")).to_have_count(0)
    mesh.calls.clear()
    page.reload()
    assert mesh.calls
    assert {headers.get("end-user") for _, headers in mesh.calls} == {None}


def test_user_signs_in_and_out_by_keyboard(visitor: Visitor, url: str) -> None:
    page = visitor()
    page.goto(f"{url}/productpage")
    press = page.keyboard.press
    for name in ("Bookinfo Sample", "Sign in"):
        press("Tab")
        expect(page.locator(":focus")).to_have_text(name)
    press("Enter")
    expect(page.get_by_role("dialog", name="Sign in to Bookinfo")).to_be_visible()
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("jason")
    press("Enter")
    expect(page.locator(".user")).to_have_text("Signed in as jason")
    press("Tab")
    press("Tab")
    expect(page.locator(":focus")).to_have_text("Sign out")
    press("Enter")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_dialog_keeps_and_returns_the_focus(visitor: Visitor, url: str) -> None:
    page = visitor()
    page.goto(f"{url}/productpage")
    button = page.get_by_role("link", name="Sign in")
    dialog = page.get_by_role("dialog")
    button.focus()
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('dialog') || document.activeElement === document.body")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    dialog.get_by_label("Close").click()
    expect(dialog).to_be_hidden()


def test_dialog_works_without_scripts(visitor: Visitor, url: str) -> None:
    page = visitor(320, scripts=False)
    page.goto(f"{url}/productpage")
    dialog = page.locator("#dialog")
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Sign in").click()
    expect(dialog).to_be_in_viewport(ratio=1)
    page.keyboard.press("Tab")
    expect(dialog.get_by_label("Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()


def test_url_of_the_dialog_opens_it(visitor: Visitor, url: str) -> None:
    page = visitor()
    page.goto(f"{url}/productpage#dialog")
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.parametrize(("width", "dark"), [(320, False), (1440, True)])
def test_dialog_is_accessible(
    visitor: Visitor, url: str, assert_accessible: Accessible, width: int, dark: bool
) -> None:
    page = visitor(width, dark=dark)
    page.goto(f"{url}/productpage")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("dialog")).to_be_in_viewport(ratio=1)
    assert_accessible(page)


def test_blank_name_is_rejected_by_the_form(visitor: Visitor, url: str) -> None:
    page = visitor()
    page.goto(f"{url}/productpage")
    page.get_by_role("link", name="Sign in").click()
    for name in ("", "   "):
        page.get_by_label("User name").fill(name)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.get_by_label("User name").evaluate("input => !input.validity.valid")


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=document.title='taken'>",
        "\"><script>document.title='taken'</script>",
        "{{ 7 * 7 }}",
        "&lt;b&gt;",
        "مستخدم",
        "\u202ednefrus",
        "👩‍🚀🧑🏽‍🎤",
        "W" * 200,
        "i i" * 66,
    ],
    ids=["element", "attribute", "template", "entity", "right to left", "override", "emoji", "long", "words"],
)
def test_name_is_shown_unchanged(visitor: Visitor, url: str, name: str) -> None:
    page = visitor(320)
    sign_in(page, url, name)
    assert page.locator(".user bdi").evaluate("name => name.textContent") == name
    expect(page).to_have_title("Simple Bookstore App")
    expect(page.get_by_role("link", name="Sign out")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("name", ["jason", "👩‍🚀" * 40], ids=["short", "long"])
def test_page_of_a_signed_in_user_is_accessible(
    visitor: Visitor, url: str, assert_accessible: Accessible, picture: Picture, name: str
) -> None:
    page = visitor(320, 640)
    sign_in(page, url, name)
    assert_accessible(page)
    if name == "jason":
        picture(page, "phone")


def test_long_name_is_limited_to_200_characters(visitor: Visitor, url: str) -> None:
    page = visitor()
    page.goto(f"{url}/productpage")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("User name").press_sequentially("x" * 250)
    assert page.get_by_label("User name").input_value() == "x" * 200
    response = page.request.post(f"{url}/login", form={"username": "x" * 10_000}, max_redirects=0)
    assert (response.status, "set-cookie" in response.headers) == (400, False)


def test_form_of_another_site_is_rejected(browser: Browser, url: str) -> None:
    page = browser.new_page()
    elsewhere = url.replace("127.0.0.1", "elsewhere.example")
    page.route(f"{elsewhere}/", lambda route: route.fulfill(content_type="text/html", body=FORM.format(url=url)))
    page.goto(f"{elsewhere}/")
    with page.expect_response(f"{url}/login") as response:
        page.get_by_role("button").click()
    assert (response.value.status, response.value.json()) == (403, {"error": "please sign in on Bookinfo's own page"})
    page.goto(f"{url}/productpage")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.close()


FORM = """<!doctype html><title>Elsewhere</title>
<form method="post" action="{url}/login"><input name="username" value="mallory"><button>Win</button></form>"""
