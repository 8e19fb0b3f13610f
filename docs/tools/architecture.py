"""Generates the parts of docs/architecture.md that come from code: `make docs`.

The table of the lab's layers comes from the import contract in pyproject.toml and the docstring of each package. A part
stands between `<!-- NAME: generated -->` and `<!-- /NAME -->`.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
LAB = ROOT / "lab/src/bookinfo_lab"


def generated(page: str) -> str:
    """Return the page with its generated parts replaced."""
    parts = {"layers": "\n".join(_layers())}
    for name, text in parts.items():
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- /{name} -->)"
        page, count = re.subn(
            pattern, lambda match, text=text: match[1] + text + "\n" + match[2], page, flags=re.DOTALL
        )
        if count != 1:
            raise ValueError(f"{PAGE.name}: expected one part {name!r}, got {count}")
    return page


def _layers() -> Iterator[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    yield "| layer | content |"
    yield "| --- | --- |"
    for layer in layers:
        for name in layer.split(" | "):
            yield f"| [{name}](../{_source(name).relative_to(ROOT)}) | {_summary(name)} |"


def _source(name: str) -> Path:
    return LAB / name if (LAB / name).is_dir() else LAB / f"{name}.py"


def _summary(name: str) -> str:
    """Return the first paragraph of the docstring of a package or a module, without its final full stop."""
    source = _source(name)
    file = source / "__init__.py" if source.is_dir() else source
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    if not docstring:
        raise ValueError(f"{file.relative_to(ROOT)}: missing docstring")
    return " ".join(docstring.split("\n\n")[0].split()).removesuffix(".")


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is current\n")
