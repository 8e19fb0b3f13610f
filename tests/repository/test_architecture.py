"""docs/architecture.md agrees with the code."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
REFERENCES = re.findall(r"\[`([A-Za-z_][\w.]*)`\]\(\.\./([^)]+\.py)\)", PAGE.read_text())


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs/tools/architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def definitions(file: Path) -> set[str]:
    """Return the names that a module defines: functions, classes, methods (`Class.method`) and constants."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{method.name}" for method in methods}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_generated_parts_are_current(generator: ModuleType) -> None:
    assert generator.generated(PAGE.read_text()) == PAGE.read_text(), "run `make docs`"


@pytest.mark.parametrize(("name", "path"), REFERENCES)
def test_referenced_name_is_defined_in_its_file(name: str, path: str) -> None:
    assert name in definitions(ROOT / path)
