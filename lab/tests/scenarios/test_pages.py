"""The scenarios' pages."""

import re
import subprocess
from pathlib import Path

import pytest

from bookinfo_lab.scenarios import pages
from bookinfo_lab.scenarios.definitions import SCENARIOS, find
from bookinfo_lab.scenarios.model import Scenario

ROOT = Path(__file__).parents[3]


def test_the_pages_are_what_the_definitions_say() -> None:
    assert pages.stale(ROOT / pages.FOLDER) == [], "run `make docs`"


def test_a_page_that_is_changed_missing_or_too_many_is_stale(tmp_path: Path) -> None:
    pages.write(tmp_path)
    assert pages.stale(tmp_path) == []
    (tmp_path / "03-canary.md").write_text("something else")
    (tmp_path / "README.md").unlink()
    (tmp_path / "99-gone.md").write_text("old")
    assert pages.stale(tmp_path) == ["03-canary.md", "99-gone.md", "README.md"]
    pages.write(tmp_path)
    assert pages.stale(tmp_path) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_page_holds_every_claim_and_every_manifest(scenario: Scenario) -> None:
    page = pages.page(scenario)
    for step in scenario.steps:
        assert step.text.strip() in page
        for manifest in step.apply:
            if isinstance(manifest, str):
                assert f"bookinfo apply -f {manifest}" in page
        for observation in step.observations:
            for claim in (*observation.shows, *observation.keeps):
                assert f"| {claim.expected} |" in page


@pytest.mark.parametrize("text", [pages.index(), *map(pages.page, SCENARIOS)], ids=lambda text: text.splitlines()[1])
def test_what_a_page_tells_to_type_first_makes_bookinfo_a_command(text: str) -> None:
    before, found, _ = text.partition(pages.ON_PATH)
    assert found
    assert "\nbookinfo " not in before
    assert "If the lab has another port than 8080" in text
    typed = f"{pages.ON_PATH}; command -v bookinfo"
    where = subprocess.run(["bash", "-c", typed], cwd=ROOT, capture_output=True, text=True, check=True)
    assert where.stdout.strip() == str(ROOT / ".venv/bin/bookinfo")


def test_what_a_step_is_compared_with_is_told() -> None:
    page = pages.page(find("request-routing"))
    assert "not so before this step" in page
    assert "not so before the first step" in page


def test_the_index_links_to_every_page() -> None:
    links = re.findall(r"\]\(([0-9]{2}-.*?\.md)\)", pages.index())
    assert len(links) == len(SCENARIOS)
    assert all((ROOT / pages.FOLDER / link).is_file() for link in links)


def test_what_the_baseline_lacks_is_taken_away_without_failing_where_it_is_not() -> None:
    for scenario in SCENARIOS:
        if scenario.without:
            before = pages.page(scenario).partition("## 1.")[0]
            assert "bookinfo delete --ignore-not-found -f " in before
            assert "bookinfo delete -f " not in before
