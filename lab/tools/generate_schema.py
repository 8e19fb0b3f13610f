"""Make the data file of Istio's field names, types and enumerations: `python lab/tools/generate_schema.py`.

Source: the type declarations of npm `@kubernetes-models/istio`, which is made from Istio's own CRDs. The exact version
is fetched by `npm pack`, because a plain install picks a version of years ago on an older Node. Only facts are kept,
no descriptions. Needs npm and its registry.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "@kubernetes-models/istio@3.0.1"
OLDEST_ISTIO = (1, 29)
TARGET = Path(__file__).parents[1] / "src/bookinfo_lab/schema/istio.json"
GROUPS = ("networking.istio.io", "security.istio.io", "telemetry.istio.io")

_TOKEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | \s+ | ("(?:[^"\\]|\\.)*" | [A-Za-z_]\w* | [{}\[\]()<>|&;:?,.])""", re.VERBOSE | re.DOTALL
)

_END = ""

Type = Any
"""A JSON form of a type: "string", {"array": T}, {"map": T}, {"enum": [...]}, {"either": [...]}, or
{"fields": {name: T}, "required": [...], "oneof": [[...]]} (of each `oneof` group at most one field may be set)."""


def main() -> int:
    """Fetch, convert, write; 0 if the file was written."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(  # noqa: S603
            ["npm", "pack", "--silent", PACKAGE],  # noqa: S607
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
            archive.extractall(folder, filter="data")
        schema = convert(Path(folder) / "package")
    TARGET.write_text("{\n" + ",\n".join(_lines(schema)) + "\n}\n")
    sys.stdout.write(f"{TARGET}: Istio {schema['istio']}, {len(schema['kinds'])} kinds\n")
    return 0


def convert(package: Path) -> dict[str, Any]:
    """The schema that the unpacked `package` declares."""
    kinds: dict[str, Any] = {}
    for file in sorted(package.glob("*.istio.io/v*/*.d.ts")):
        group, version, kind = file.parts[-3], file.parts[-2], file.name.removesuffix(".d.ts")
        if group in GROUPS and kind != "index":
            entry = kinds.setdefault(f"{group}/{kind}", {"versions": []})
            entry["versions"].append(version)
            # `v1` sorts before its own betas and is what the others were promoted to.
            entry.setdefault("spec", parse_interface(file.read_text())["fields"]["spec"])
    return {"package": PACKAGE, "istio": istio_version((package / "package.json").read_text()), "kinds": kinds}


def istio_version(package_json: str) -> str:
    """The Istio version of the CRDs that the package was made from; ValueError if it is too old."""
    versions = re.findall(r"istio/(\d+\.\d+\.\d+)/manifests/charts/base/files/crd-all", package_json)
    if not versions or tuple(int(part) for part in versions[-1].split(".")) < OLDEST_ISTIO:
        oldest = ".".join(map(str, OLDEST_ISTIO))
        raise ValueError(f"{PACKAGE} is made from Istio {versions or 'of no known version'}, not {oldest} or newer")
    return str(versions[-1])


def parse_interface(text: str) -> Type:
    """The first interface that `text` declares."""
    body = text[text.index("export interface") :]
    return _Parser(body[body.index("{") :]).type()


class _Parser:
    """Recursive descent over the little of TypeScript that the declarations use."""

    def __init__(self, text: str) -> None:
        self._tokens = [*(match[1] for match in _TOKEN.finditer(text) if match[1]), _END]
        self._position = 0

    def type(self) -> Type:
        members = [self._intersection()]
        while self._accept("|"):
            members.append(self._intersection())
        if len(members) == 1:
            return members[0]
        if all(isinstance(member, dict) and "enum" in member for member in members):
            return {"enum": [value for member in members for value in member["enum"]]}
        if all(isinstance(member, str) for member in members):
            return {"either": sorted(members)}
        return {"union": members}

    def _intersection(self) -> Type:
        result = self._primary()
        while self._accept("&"):
            result = _intersect(result, self._primary())
        return result

    def _primary(self) -> Type:
        part = self._next()
        if part == "(":
            inner = self.type()
            self._expect(")")
        elif part == "{":
            inner = self._object()
        elif part.startswith('"'):
            inner = {"enum": [json.loads(part)]}
        elif self._accept("<"):
            arguments = [self.type()]
            while self._accept(","):
                arguments.append(self.type())
            self._expect(">")
            inner = {"array": arguments[0]} if part == "Array" else "excluded"
        else:
            inner = part if part in ("string", "number", "boolean") else "any"
        return inner

    def _object(self) -> Type:
        fields: dict[str, Type] = {}
        required = []
        while not self._accept("}"):
            if self._accept("["):
                while self._next() != "]":
                    pass
                self._expect(":")
                value: Type = {"map": self.type()}
                self._expect(";")
                self._expect("}")
                return value
            name = self._next().strip('"')
            optional = self._accept("?")
            self._expect(":")
            fields[name] = self.type()
            self._expect(";")
            if not optional:
                required.append(name)
        return {"fields": fields, "required": required} if fields else "any"

    def _next(self) -> str:
        self._position += 1
        return self._tokens[self._position - 1]

    def _accept(self, token: str) -> bool:
        if self._tokens[self._position] != token:
            return False
        self._position += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise ValueError(f"expected {token!r}, found {self._tokens[self._position]!r}")


def _intersect(base: Type, other: Type) -> Type:
    """`base & (Exclude<...> | {a} | {b})` is how the declarations say that at most one of a and b may be set."""
    members = other["union"] if isinstance(other, dict) and "union" in other else [other]
    groups = [
        name
        for member in members
        if isinstance(member, dict)
        for name in member["required"]
        if name not in base["required"]
    ]
    return {**base, "oneof": [*base.get("oneof", []), groups]} if len(groups) > 1 else base


def _lines(schema: dict[str, Any]) -> Iterator[str]:
    for key in ("package", "istio"):
        yield f" {json.dumps(key)}: {json.dumps(schema[key])}"
    kinds = ",\n".join(
        f"  {json.dumps(kind)}: {json.dumps(entry, separators=(',', ':'))}" for kind, entry in schema["kinds"].items()
    )
    yield f' "kinds": {{\n{kinds}\n }}'


if __name__ == "__main__":
    sys.exit(main())
