"""The product page through the lab's gateway and sidecars."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy

LOADS = 60
"""The probability that random routing misses one of three versions is one in a billion."""


@pytest.fixture(scope="module")
def gateway(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a lab and return the URL of its gateway."""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state")), "BOOKINFO_LAB": "browser"}
    try:
        envoy.find(environment)
    except LabError as error:
        pytest.skip(str(error))

    def bookinfo(*arguments: str) -> str:
        command = [sys.executable, "-m", "bookinfo_lab", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout

    try:
        bookinfo("up", "--detach", "--gateway-port=0")
        yield json.loads(bookinfo("status", "--json"))["url"].removesuffix("/productpage")
    finally:
        bookinfo("down")


def test_versions_alternate_and_a_user_signs_in_and_out(visitor: Callable[..., Page], gateway: str) -> None:
    page = visitor()
    seen = set()
    for _ in range(LOADS):
        page.goto(f"{gateway}/productpage")
        pod = page.locator(".pod code").last.inner_text()
        seen.add(pod.split("-")[1])
        if seen == {"v1", "v2", "v3"}:
            break
    assert seen == {"v1", "v2", "v3"}

    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("User name").fill("jason")
    page.keyboard.press("Enter")
    expect(page.locator(".user")).to_have_text("Signed in as jason")
    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_gateway_serves_the_landing_page_and_the_api(visitor: Callable[..., Page], gateway: str) -> None:
    page = visitor()
    page.goto(f"{gateway}/")
    page.get_by_role("link", name="The API").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("productpage")
