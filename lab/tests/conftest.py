"""What the lab's tests share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bookinfo_lab.resources import images
from bookinfo_lab.resources.images import Image

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def known_images() -> Mapping[str, Image]:
    """The project's own table."""
    return images.read(REPOSITORY / "images.yaml")
