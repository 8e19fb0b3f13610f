"""The project's own mesh manifests."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "istio").glob("*/*.yaml"))
FOLDERS = sorted({file.parent for file in FILES})
# The lab has no waypoint; tests/manifests holds what is in istio/ambient by the schemas.
IN_THE_LAB = [file for file in FILES if file.parent.name != "ambient"]


@pytest.mark.parametrize("file", IN_THE_LAB, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_has_the_fields_and_the_values_that_istio_takes(file: Path) -> None:
    Rules.parse(read_documents(file.read_text(), str(file)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_begins_by_saying_what_it_does(file: Path) -> None:
    comment = list(takewhile(lambda line: line.startswith("# "), file.read_text().splitlines()))
    assert 1 <= len(comment) <= 3


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_is_of_a_version_that_is_current(file: Path) -> None:
    for document in read_documents(file.read_text(), str(file)):
        group, _, version = document.api_version.partition("/")
        assert group.endswith((".istio.io", "gateway.networking.k8s.io"))
        assert version == ("v1alpha3" if document.kind == "EnvoyFilter" else "v1")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_its_folder_says_what_it_is_for(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.startswith("# ")
    assert re.search(rf"(bookinfo|kubectl) apply -f istio/{folder.name}/", text)
