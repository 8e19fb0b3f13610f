"""The scenarios' pages in docs/scenarios."""

import re
import subprocess
from pathlib import Path

import pytest

from bookinfo_lab.scenarios import documentation
from bookinfo_lab.scenarios.definitions import SCENARIOS, find
from bookinfo_lab.scenarios.model import Scenario

ROOT = Path(__file__).parents[3]


def test_pages_in_docs_are_current() -> None:
    assert documentation.stale(ROOT / documentation.DIRECTORY) == [], "run `make docs`"


def test_changed_missing_or_obsolete_page_is_stale(tmp_path: Path) -> None:
    documentation.write(tmp_path)
    assert documentation.stale(tmp_path) == []
    (tmp_path / "03-canary.md").write_text("something else")
    (tmp_path / "README.md").unlink()
    (tmp_path / "99-gone.md").write_text("old")
    assert documentation.stale(tmp_path) == ["03-canary.md", "99-gone.md", "README.md"]
    documentation.write(tmp_path)
    assert documentation.stale(tmp_path) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_page_contains_every_claim_and_every_manifest(scenario: Scenario) -> None:
    page = documentation.page(scenario)
    for step in scenario.steps:
        assert step.text.strip() in page
        for manifest in step.apply:
            if isinstance(manifest, str):
                assert f"bookinfo apply -f {manifest}" in page
        for observation in step.observations:
            for claim in (*observation.effects, *observation.invariants):
                assert f"| {claim.expected} |" in page


@pytest.mark.parametrize(
    "text", [documentation.index(), *map(documentation.page, SCENARIOS)], ids=lambda text: text.splitlines()[1]
)
def test_page_first_makes_bookinfo_a_command(text: str) -> None:
    before, found, _ = text.partition(documentation.SET_PATH)
    assert found
    assert "\nbookinfo " not in before
    assert "port is not 8080" in " ".join(text.split())
    command = f"{documentation.SET_PATH}; command -v bookinfo"
    printed = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == str(ROOT / ".venv/bin/bookinfo")


def test_page_names_the_state_that_an_effect_is_compared_with() -> None:
    page = documentation.page(find("request-routing"))
    assert "not observed before this step" in page
    assert "not observed before the first step" in page


def test_index_links_to_every_page() -> None:
    links = re.findall(r"\]\(([0-9]{2}-.*?\.md)\)", documentation.index())
    assert len(links) == len(SCENARIOS)
    assert all((ROOT / documentation.DIRECTORY / link).is_file() for link in links)


def test_setup_deletes_objects_only_if_they_exist() -> None:
    for scenario in SCENARIOS:
        if scenario.removed:
            before = documentation.page(scenario).partition("## 1.")[0]
            assert "bookinfo delete --ignore-not-found -f " in before
            assert "bookinfo delete -f " not in before
