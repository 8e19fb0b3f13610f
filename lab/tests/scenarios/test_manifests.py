"""The project's own mesh manifests."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "istio").glob("*/*.yaml"))
DIRECTORIES = sorted({file.parent for file in FILES})
# The lab has no waypoint. tests/manifests validates the manifests in istio/ambient with the schemas.
IN_THE_LAB = [file for file in FILES if file.parent.name != "ambient"]


@pytest.mark.parametrize("file", IN_THE_LAB, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_manifest_is_valid_for_the_lab(file: Path) -> None:
    Rules.parse(read_documents(file.read_text(), str(file)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_manifest_begins_with_a_comment(file: Path) -> None:
    comment = list(takewhile(lambda line: line.startswith("# "), file.read_text().splitlines()))
    assert 1 <= len(comment) <= 3


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_manifest_uses_the_current_api_version(file: Path) -> None:
    for document in read_documents(file.read_text(), str(file)):
        group, _, version = document.api_version.partition("/")
        assert group.endswith((".istio.io", "gateway.networking.k8s.io"))
        assert version == ("v1alpha3" if document.kind == "EnvoyFilter" else "v1")


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda directory: directory.name)
def test_directory_has_a_readme_with_a_command(directory: Path) -> None:
    text = (directory / "README.md").read_text()
    assert text.startswith("# ")
    assert re.search(rf"(bookinfo|kubectl) apply -f istio/{directory.name}/", text)
