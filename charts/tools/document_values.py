"""Write the table of values into charts/bookinfo/README.md, from the comments of values.yaml.

A key's meaning is the comment line above it; a key without one is an error. `--check` writes nothing and exits 1 if the
table is stale.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHART = Path(__file__).resolve().parents[1] / "bookinfo"
BEGIN, END = "<!-- values: made by charts/tools/document_values.py -->", "<!-- end of values -->"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9-]+):(?: (?P<value>.*))?$")
FOLDED = re.compile(r"(services\.\w+\.resources|networkPolicy\.flows\.\w+)")
"""Keys below which every name is explained elsewhere: in Kubernetes, or at the key above."""


@dataclass(frozen=True)
class Row:
    """One key: its dotted path, its default as YAML (empty for a block of keys), its meaning."""

    path: str
    default: str
    meaning: str


class UndocumentedError(Exception):
    """A key has no comment."""


def rows(text: str) -> Iterator[Row]:
    """Every documented key of a values file, in its order. Raises `UndocumentedError` for one without a comment."""
    parents: list[tuple[int, str]] = []
    meaning: list[str] = []
    opaque: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        indent = len(line) - len(line.lstrip())
        if opaque is not None and line.strip() and indent > opaque:
            continue
        opaque = None
        if line.lstrip().startswith("#"):
            meaning.append(line.lstrip(" #"))
        elif not line.strip():
            meaning = []
        elif match := KEY.match(line):
            parents = [parent for parent in parents if parent[0] < indent]
            path = ".".join([*(name for _, name in parents), match["key"]])
            if not meaning:
                raise UndocumentedError(f"values.yaml line {number}: {path} has no comment above it")
            yield Row(path, match["value"] or "", " ".join(meaning))
            meaning = []
            parents.append((indent, match["key"]))
            if FOLDED.fullmatch(path):
                opaque = indent
        else:
            raise UndocumentedError(f"values.yaml line {number}: neither a key nor a comment: {line.strip()}")


def table(text: str) -> str:
    """The Markdown table of a values file."""
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    for row in rows(text):
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.path}` | {default} | {row.meaning} |")
    return "\n".join(lines)


def documented(readme: str, values: str) -> str:
    """The README with the current table between its marks."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(values)}\n{END}{after}"


def main() -> int:
    """Write the README, or with --check compare."""
    readme = CHART / "README.md"
    try:
        wanted = documented(readme.read_text(), (CHART / "values.yaml").read_text())
    except UndocumentedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if "--check" not in sys.argv[1:]:
        readme.write_text(wanted)
    elif readme.read_text() != wanted:
        sys.stderr.write("charts/bookinfo/README.md is stale: run python charts/tools/document_values.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
