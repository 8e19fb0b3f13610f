"""Compiles requirements/*.txt: one resolution of all third-party packages, with hashes, a file per image and purpose.

`make lock` runs it. Ranges stand in each package's pyproject.toml and in the root's dependency groups; `--upgrade`
takes the newest that fits. Index addresses are never written.
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

APART = "containers"
"""The one file that is resolved by itself: its tools are installed into an environment of their own."""

HEADER = "# Compiled by `make lock` from the pyproject.toml files: change those, not this.\n"


def declared(*paths: str) -> list[str]:
    """The third-party requirements of the packages in `paths`, and of the chassis if one of them is built on it."""
    wanted = [line for path in paths for line in _dependencies(path)]
    if "bookinfo-chassis" in wanted:
        wanted = _dependencies("libs/chassis") + wanted
    return [line for line in wanted if not line.startswith("bookinfo-")]


def _dependencies(path: str) -> list[str]:
    project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def wanted() -> dict[str, list[str]]:
    """For each file to compile, what it must hold."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    files = {name: declared(directory) for name, directory in PACKAGES.items()}
    files["lab"] = declared(*PACKAGES.values(), "lab")
    files["canary"] = declared("canary")
    files["build"] = groups["build"]
    files["dev"] = sorted({line for lines in [*files.values(), groups["dev"]] for line in lines})
    files[APART] = groups[APART]
    return files


def compile_lock(requirements: list[str], constraints: Path | None, current: Path | None, *, upgrade: bool) -> str:
    """What `uv pip compile` makes of `requirements`, for every platform and every supported Python."""
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
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.txt"
        if current and current.exists() and not upgrade:
            output.write_text(current.read_text())
        subprocess.run([*command, "-o", str(output), "-"], input="\n".join(requirements), text=True, check=True)  # noqa: S603
        return HEADER + output.read_text()


def main() -> None:
    """Resolve everything once, then cut each file out of that resolution."""
    upgrade = "--upgrade" in sys.argv[1:]
    files = wanted()
    everything = compile_lock(files["dev"] + files["build"], None, REQUIREMENTS / "dev.txt", upgrade=upgrade)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(re.sub(r" *\\\n +--hash=\S+", "", everything))
        for name, requirements in files.items():
            file = REQUIREMENTS / f"{name}.txt"
            if name == APART:
                text = compile_lock(requirements, None, file, upgrade=upgrade)
            else:
                text = everything if name == "dev" else compile_lock(requirements, constraints, None, upgrade=True)
            file.write_text(text)
            print(f"requirements/{name}.txt: {text.count('==')} packages")  # noqa: T201


if __name__ == "__main__":
    main()
