"""The screenshots of the documentation."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "images").iterdir())


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_picture_is_small_and_used(picture: Path) -> None:
    assert picture.stat().st_size < 150_000
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    assert any(f"images/{picture.name})" in page.read_text() for page in pages)
