"""Compile requirements/*.txt from one resolution of all third-party packages: a file with hashes per image and purpose.

`make lock` runs this script. The version ranges are in the pyproject.toml of each package and in the dependency groups
of the root. `--upgrade` selects the newest versions that match. The files never contain the address of an index.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PACKAGES = {
    **{name: f"services/{name}" for name in ("productpage", "details", "reviews", "ratings")},
    **{name: f"lab/workloads/{name}" for name in ("client", "books")},
}
"""The directory of each package that has an image, by the name of its file in requirements/."""

SEPARATE = "containers"
"""The only file that is resolved separately, because its tools have their own virtual environment."""

HEADER = "# Compiled by `make lock` from the pyproject.toml files: change those, not this.\n"


def declared(*paths: str) -> list[str]:
    """Return the third-party requirements of the packages in `paths`, and of the chassis if one of them requires it."""
    requirements = [line for path in paths for line in _dependencies(path)]
    if "bookinfo-chassis" in requirements:
        requirements = _dependencies("libs/chassis") + requirements
    return [line for line in requirements if not line.startswith("bookinfo-")]


def _dependencies(path: str) -> list[str]:
    project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def requirements_by_file() -> dict[str, list[str]]:
    """Return the requirements of each file to compile."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    files = {name: declared(directory) for name, directory in PACKAGES.items()}
    files["lab"] = declared(*PACKAGES.values(), "lab")
    files["canary"] = declared("canary")
    files["build"] = groups["build"]
    files["dev"] = sorted({line for lines in [*files.values(), groups["dev"]] for line in lines})
    files[SEPARATE] = groups[SEPARATE]
    return files


def compile_lock(requirements: list[str], constraints: Path | None, current: Path | None, *, upgrade: bool) -> str:
    """Return the output of `uv pip compile` for `requirements`, for every platform and every supported Python."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += [
        "--python-version",
        "3.11",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--no-header",
        "--no-annotate",
    ]
    if constraints:
        command += ["--constraint", str(constraints)]
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "out.txt"
        if current and current.exists() and not upgrade:
            output.write_text(current.read_text())
        subprocess.run([*command, "-o", str(output), "-"], input="\n".join(requirements), text=True, check=True)  # noqa: S603
        return HEADER + output.read_text()


def main() -> None:
    """Resolve all requirements once, then compile each file with that resolution as its constraints."""
    upgrade = "--upgrade" in sys.argv[1:]
    files = requirements_by_file()
    resolution = compile_lock(files["dev"] + files["build"], None, REQUIREMENTS / "dev.txt", upgrade=upgrade)
    with tempfile.TemporaryDirectory() as directory:
        constraints = Path(directory) / "constraints.txt"
        constraints.write_text(re.sub(r" *\\\n +--hash=\S+", "", resolution))
        for name, requirements in files.items():
            file = REQUIREMENTS / f"{name}.txt"
            if name == SEPARATE:
                text = compile_lock(requirements, None, file, upgrade=upgrade)
            else:
                text = resolution if name == "dev" else compile_lock(requirements, constraints, None, upgrade=True)
            file.write_text(text)
            print(f"requirements/{name}.txt: {text.count('==')} packages")  # noqa: T201


if __name__ == "__main__":
    main()
