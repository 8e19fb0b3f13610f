"""docs/differences.md names an existing test for each difference."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "docs/differences.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| The original", "| ---"))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:50])
def test_each_difference_names_an_existing_test(row: list[str]) -> None:
    named = re.fullmatch(r"`(?P<path>[\w./-]+\.py)::(?P<test>test_\w+)`", row[2])
    assert len(row) == 3
    assert named, row[2]
    tree = ast.parse((ROOT / named["path"]).read_text())
    assert named["test"] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_difference_is_listed_twice() -> None:
    assert len({(row[0], row[1]) for row in ROWS}) == len(ROWS) > 40
