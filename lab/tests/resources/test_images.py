"""The table of images."""

from pathlib import Path

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.resources import images


@pytest.mark.parametrize(
    "reference",
    [
        "bookinfo-reviews",
        "bookinfo-reviews:0.1.0",
        "registry.example:5000/team/bookinfo-reviews:0.1.0",
        "docker.io/istio/bookinfo-reviews@sha256:0123456789abcdef",
        "bookinfo-reviews:1@sha256:0123456789abcdef",
    ],
)
def test_registry_tag_and_digest_are_ignored(reference: str) -> None:
    assert images.repository_name(reference) == "bookinfo-reviews"


def test_an_image_names_its_package_and_its_baked_in_environment(known_images) -> None:
    assert known_images["bookinfo-reviews"] == images.Image("bookinfo_reviews", {})
    assert known_images["examples-bookinfo-reviews-v3"] == images.Image("bookinfo_reviews", {"VERSION": "v3"})


def test_an_entry_that_is_none_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "images.yaml"
    table.write_text("bookinfo-x: {pakage: x}")
    with pytest.raises(LabError) as caught:
        images.read(table)
    assert caught.value.code == "invalid-image"
