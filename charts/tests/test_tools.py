"""The scripts around the chart."""

import subprocess
import sys
from pathlib import Path

import pytest
from charts.tests.conftest import load_tool
from charts.tests.rendering import CHART, ROOT

TOOL = load_tool("helm")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine for which there is no pinned build, with nothing but an empty folder on PATH."""
    monkeypatch.delenv("BOOKINFO_HELM", raising=False)
    monkeypatch.setattr(TOOL, "CACHED", tmp_path / "none")
    monkeypatch.setattr(TOOL.platform, "machine", lambda: "aarch64")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def stand_in(path: Path, version: str) -> Path:
    """A program that says it is that version of helm."""
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


def test_without_any_helm_one_line_says_what_was_tried_and_what_to_do(nowhere: Path) -> None:
    with pytest.raises(TOOL.NoHelmError) as caught:
        TOOL.find()
    assert str(caught.value) == (
        "no helm: no pinned build for this machine, and there is no Helm 4 on PATH: install one, or set BOOKINFO_HELM"
    )


def test_a_helm_4_on_the_path_will_do(nowhere: Path) -> None:
    helm = stand_in(nowhere / "helm", "v4.0.1")
    assert TOOL.find() == helm


def test_an_older_helm_on_the_path_is_passed_over(nowhere: Path) -> None:
    stand_in(nowhere / "helm", "v3.17.2")
    with pytest.raises(TOOL.NoHelmError):
        TOOL.find()


def test_the_named_helm_wins(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(nowhere / "helm", "v4.0.1")
    named = stand_in(nowhere / "mine", "v3.17.2")
    monkeypatch.setenv("BOOKINFO_HELM", str(named))
    assert TOOL.find() == named


def test_a_named_helm_that_is_no_program_is_an_error(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKINFO_HELM", str(nowhere / "missing"))
    with pytest.raises(TOOL.NoHelmError, match=r"BOOKINFO_HELM: .*missing is no program"):
        TOOL.find()


@pytest.mark.parametrize(("strict", "code"), [("", 0), ("1", 1)])
def test_building_without_a_helm_says_so_and_fails_only_where_nothing_may_be_skipped(strict: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "charts/tools/build.py")],
        capture_output=True,
        text=True,
        env={"BOOKINFO_HELM": "/none", "BOOKINFO_TEST_ALL": strict, "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == code
    assert done.stderr.startswith("chart: not linted nor packaged: BOOKINFO_HELM: /none is no program")
    assert done.stderr.count("\n") == 1


def test_a_stale_table_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = load_tool("document_values")
    (tmp_path / "values.yaml").write_text("# Another key.\nother: 1\n")
    (tmp_path / "README.md").write_text((CHART / "README.md").read_text())
    monkeypatch.setattr(tool, "CHART", tmp_path)
    monkeypatch.setattr(sys, "argv", ["document_values.py", "--check"])
    assert tool.main() == 1
    monkeypatch.setattr(sys, "argv", ["document_values.py"])
    assert tool.main() == 0
    assert "| `other` | `1` | Another key. |" in (tmp_path / "README.md").read_text()
