"""The pages that must stay true."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """Every page of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def marked_unproven() -> set[str]:
    """The identifiers of every `pytest.mark.unproven("...")` in the repository's tests."""
    found: set[str] = set()
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("*/tests/**/*.py"), *ROOT.glob("*/*/tests/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "unproven":
                found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def test_the_page_of_what_is_unproven_names_every_marked_test_and_no_other() -> None:
    page = (ROOT / "docs/unproven.md").read_text()
    assert set(re.findall(r"^\| `test:([a-z0-9-]+)`", page, re.MULTILINE)) == marked_unproven()


def test_the_readme_fits_a_screen_and_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 60
    assert "make run" in readme
    assert "make test" in readme


def test_every_link_to_a_file_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_make_help_lists_every_target_with_its_comment() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE))
    commented = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    assert phony == commented


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        for named in re.findall(r"(?:`|^    )make ([a-z0-9-]+(?: [a-z0-9-]+)*)", page.read_text(), re.MULTILINE):
            assert set(named.split()) <= targets, f"{page.name}: make {named}"
