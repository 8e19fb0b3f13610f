"""The scripts in charts/tools."""

import subprocess
import sys
from pathlib import Path

import pytest
from charts.tests.rendering import CHART, HELM_TOOL, ROOT, load_tool


@pytest.fixture
def environment_without_helm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without a pinned build, whose PATH is the returned, empty directory."""
    monkeypatch.delenv("BOOKINFO_HELM", raising=False)
    monkeypatch.setattr(HELM_TOOL, "CACHED", tmp_path / "none")
    monkeypatch.setattr(HELM_TOOL.platform, "machine", lambda: "aarch64")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def fake_helm(path: Path, version: str) -> Path:
    """Write a program that prints a version of Helm."""
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


def test_missing_helm_is_reported_with_reason_and_remedy(environment_without_helm: Path) -> None:
    with pytest.raises(HELM_TOOL.HelmNotFoundError) as caught:
        HELM_TOOL.find()
    assert str(caught.value) == (
        "Helm 4 not found: the pinned build requires Linux on x86-64, and PATH contains none; "
        "install Helm 4, or set BOOKINFO_HELM"
    )


def test_helm_4_on_path_is_used(environment_without_helm: Path) -> None:
    helm = fake_helm(environment_without_helm / "helm", "v4.0.1")
    assert HELM_TOOL.find() == helm


def test_helm_3_on_path_is_ignored(environment_without_helm: Path) -> None:
    fake_helm(environment_without_helm / "helm", "v3.17.2")
    with pytest.raises(HELM_TOOL.HelmNotFoundError):
        HELM_TOOL.find()


def test_configured_helm_takes_precedence(environment_without_helm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_helm(environment_without_helm / "helm", "v4.0.1")
    named = fake_helm(environment_without_helm / "mine", "v3.17.2")
    monkeypatch.setenv("BOOKINFO_HELM", str(named))
    assert HELM_TOOL.find() == named


def test_configured_helm_that_is_not_executable_is_rejected(
    environment_without_helm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKINFO_HELM", str(environment_without_helm / "missing"))
    with pytest.raises(HELM_TOOL.HelmNotFoundError, match=r"BOOKINFO_HELM: .*missing is not an executable file"):
        HELM_TOOL.find()


@pytest.mark.parametrize(("strict", "code"), [("", 0), ("1", 1)])
def test_build_without_helm_fails_only_if_no_test_may_be_skipped(strict: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "charts/tools/build.py")],
        capture_output=True,
        text=True,
        env={"BOOKINFO_HELM": "/none", "BOOKINFO_TEST_ALL": strict, "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == code
    assert done.stderr.startswith("chart: skipped lint and package: BOOKINFO_HELM: /none is not an executable file")
    assert done.stderr.count("\n") == 1


def test_outdated_table_is_detected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = load_tool("document_values")
    (tmp_path / "values.yaml").write_text("# Another key.\nother: 1\n")
    (tmp_path / "README.md").write_text((CHART / "README.md").read_text())
    monkeypatch.setattr(tool, "CHART", tmp_path)
    monkeypatch.setattr(sys, "argv", ["document_values.py", "--check"])
    assert tool.main() == 1
    monkeypatch.setattr(sys, "argv", ["document_values.py"])
    assert tool.main() == 0
    assert "| `other` | `1` | Another key. |" in (tmp_path / "README.md").read_text()
