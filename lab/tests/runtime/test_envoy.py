"""Finding Envoy, and room for it."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy


def write_envoy(path: Path, version: str = "envoy  version: 0/1.40.0/Clean/RELEASE/BoringSSL") -> None:
    """A program that tells its version as Envoy does."""
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)


def test_the_one_that_is_named_comes_first(tmp_path: Path) -> None:
    mine = tmp_path / "my-envoy"
    write_envoy(mine)
    assert envoy.find({"BOOKINFO_ENVOY": str(mine)}) == mine


@pytest.mark.parametrize("name", ["/nowhere/envoy", "/"])
def test_a_name_of_no_program_is_refused(name: str) -> None:
    with pytest.raises(LabError, match=f"BOOKINFO_ENVOY={name} is not an executable program"):
        envoy.find({"BOOKINFO_ENVOY": name})


def test_a_program_that_is_no_envoy_is_refused_before_anything_starts(tmp_path: Path) -> None:
    write_envoy(tmp_path / "other", version="something else")
    with pytest.raises(LabError, match="is not an Envoy"):
        envoy.find({"BOOKINFO_ENVOY": str(tmp_path / "other")})


def test_the_one_on_the_path_serves_where_pypi_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    write_envoy(tmp_path / "envoy")
    assert envoy.find({"PATH": str(tmp_path)}) == tmp_path / "envoy"


def test_without_any_one_line_points_to_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    with pytest.raises(LabError, match="`docker compose up`"):
        envoy.find({"PATH": ""})


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """A low limit of open files, which the kernel tells as it tells that the inotify instances are used up."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("few_descriptors")
def test_too_few_inotify_instances_are_told_before_an_envoy_aborts_for_want_of_one() -> None:
    before = {file.name for file in Path("/proc/self/fd").iterdir()}
    with pytest.raises(
        LabError, match=r"10 more Envoys require 60 inotify instances, and \d+ of this user's \d+ are left"
    ):
        envoy.check_room(10)
    assert {file.name for file in Path("/proc/self/fd").iterdir()} == before


def test_where_there_is_room_nothing_is_said() -> None:
    envoy.check_room(1)
