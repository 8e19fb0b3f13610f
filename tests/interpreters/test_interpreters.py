"""The services install from their locks and import on every other supported Python version of this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml"))


def find_interpreter(version: str) -> str | None:
    """Return a CPython of this minor version from PATH or pyenv, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        shown = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if shown.stdout.startswith(f"Python {version}."):
            return candidate
    return None


CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"
FOUND = {version: found for version in SUPPORTED if version != CURRENT and (found := find_interpreter(version))}
NOT_INSTALLED = [version for version in SUPPORTED if version != CURRENT and version not in FOUND]


@pytest.mark.parametrize("version", sorted(FOUND))
def test_the_services_install_and_import(version: str, tmp_path: Path) -> None:
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = str(tmp_path / "venv/bin/python")
    subprocess.run([*uv, "venv", "--python", FOUND[version], str(tmp_path / "venv")], check=True)
    locks = [argument for lock in ["build", *SERVICES] for argument in ("-r", str(ROOT / f"requirements/{lock}.txt"))]
    subprocess.run([*uv, "pip", "install", "--python", python, "--require-hashes", *locks], check=True)
    own = [str(ROOT / "libs/chassis"), *(str(ROOT / "services" / service) for service in SERVICES)]
    subprocess.run([*uv, "pip", "install", "--python", python, "--no-deps", "--no-build-isolation", *own], check=True)
    modules = "; ".join(f"import bookinfo_{service}.app, bookinfo_{service}.__main__" for service in SERVICES)
    subprocess.run([python, "-W", "error", "-c", modules], check=True)
