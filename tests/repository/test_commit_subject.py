"""docs/tools/commit_subject.py, the commit-msg hook."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HOOK = ROOT / "docs/tools/commit_subject.py"


def run_hook(directory: Path, message: str) -> subprocess.CompletedProcess[str]:
    file = directory / "COMMIT_EDITMSG"
    file.write_text(message)
    return subprocess.run([sys.executable, HOOK, file], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "message",
    [
        "x" * 72,
        "Fix a bug\n\nThe reason.\n",
        "Merge branch 'a' into " + "x" * 80,
        "Fix a bug\n# Please enter the message\n",
    ],
)
def test_valid_subject_is_accepted(tmp_path: Path, message: str) -> None:
    assert run_hook(tmp_path, message).returncode == 0


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("x" * 73, "the subject has 73 characters"),
        ("", "the subject is empty"),
        ("Fix a bug.", "the subject ends with a period"),
        ("Fix a bug\nThe reason.\n", "the second line is not empty"),
    ],
)
def test_invalid_subject_is_rejected(tmp_path: Path, message: str, error: str) -> None:
    result = run_hook(tmp_path, message)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"COMMIT_EDITMSG, line 1: {error}")


def test_pre_commit_runs_the_hook() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert "commit-msg" in config["default_install_hook_types"]
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    [hook] = [hook for hook in hooks if hook.get("stages") == ["commit-msg"]]
    assert HOOK.relative_to(ROOT).as_posix() in hook["entry"]
