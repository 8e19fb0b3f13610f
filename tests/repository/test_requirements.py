"""Third-party versions: locked once, with hashes, the same everywhere."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
APART = "containers"  # tools in an environment of their own
PACKAGES = sorted(
    [
        *(path for folder in ("libs", "services", "lab/workloads") for path in ROOT.glob(f"{folder}/*/pyproject.toml")),
        *(ROOT / folder / "pyproject.toml" for folder in ("lab", "canary")),
    ]
)


def pinned(lock: Path) -> dict[str, str]:
    """Versions by name."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def test_there_is_a_lock_for_every_service_and_purpose() -> None:
    shipped = {package.parent.name for package in PACKAGES if package.parent.parent.name != "libs"}
    assert {lock.stem for lock in LOCKS} == shipped | {"dev", "build", APART}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_hashes(lock: Path) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text().split("\n", 1)[1].rstrip())
    assert [entry.split("==")[0] for entry in entries if entry and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.stem != APART], ids=lambda lock: lock.stem)
def test_a_lock_has_the_versions_of_the_one_resolution(lock: Path) -> None:
    everything = pinned(ROOT / "requirements/dev.txt")
    assert {name: version for name, version in pinned(lock).items() if everything.get(name) != version} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.parent.name)
def test_a_lock_satisfies_what_its_package_declares(package: Path) -> None:
    declared = tomllib.loads(package.read_text())["project"]["dependencies"]
    lock = ROOT / f"requirements/{package.parent.name}.txt"
    versions = pinned(lock if lock.exists() else ROOT / "requirements/dev.txt")
    third_party = [Requirement(line) for line in declared if not line.startswith("bookinfo-")]
    for requirement in third_party:
        assert versions[requirement.name.lower()] in requirement.specifier, requirement


def imported(package: Path) -> Iterator[str]:
    """The outermost names of the modules that a package's sources import."""
    for source in package.parent.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.parent.name)
def test_a_package_declares_what_it_imports(package: Path) -> None:
    project = tomllib.loads(package.read_text())["project"]
    declared = {project["name"], *(canonicalize_name(Requirement(line).name) for line in project["dependencies"])}
    makers = packages_distributions()  # without what is installed editable: there module and package have one name
    foreign = set(imported(package)) - sys.stdlib_module_names
    assert [
        module
        for module in sorted(foreign)
        if declared.isdisjoint(canonicalize_name(name) for name in makers.get(module, [module]))
    ] == []


def test_no_tracked_file_names_a_package_index() -> None:
    address = re.compile(
        r"(index[-_]url|find[-_]links|registry)[\"']?\s*[=:]\s*[\"']?https?://|https?://[^\s\"]+/simple/?\s"
    )
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    texts = {path: path.read_bytes().decode(errors="replace") for path in tracked}
    assert len(tracked) > 100
    assert [str(path) for path, text in texts.items() if address.search(text)] == []


def test_every_package_has_the_one_version() -> None:
    version = (ROOT / "VERSION").read_text().strip()
    images = re.findall(r"image: bookinfo-\w+:(\S+)", (ROOT / "kubernetes/bookinfo.yaml").read_text())
    assert images
    assert set(images) == {version}
    for package in PACKAGES:
        assert "version" in tomllib.loads(package.read_text())["project"]["dynamic"], package
