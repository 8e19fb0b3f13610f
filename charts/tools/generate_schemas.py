"""Generate charts/tests/schemas/*.json: closed JSON Schemas of the custom resources that the chart renders.

The source is the TypeScript declarations of npm's `@kubernetes-models/*`, which are generated from the projects' own Go
types. `npm pack` downloads pinned versions. The schemas contain only field names, types and required fields. Requires
npm.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[2] / "charts/tests/schemas"
SOURCES = {
    "gateway-api": ("@kubernetes-models/gateway-api@2.0.0", "gateway.networking.k8s.io/v1", ("Gateway", "HTTPRoute")),
    "monitoring": (
        "@kubernetes-models/prometheus-operator@6.0.0",
        "monitoring.coreos.com/v1",
        ("PodMonitor", "PrometheusRule", "ServiceMonitor"),
    ),
}
STRING_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
REQUIREMENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["key", "operator"],
    "properties": {
        "key": {"type": "string"},
        "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
        "values": {"type": "array", "items": {"type": "string"}},
    },
}
APIMACHINERY: dict[str, dict[str, Any]] = {  # Kubernetes' own types, which these packages only reference
    "LabelSelector": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"matchLabels": STRING_MAP, "matchExpressions": {"type": "array", "items": REQUIREMENT}},
    },
    "IntOrString": {"type": ["integer", "string"]},
    "Quantity": {"type": ["number", "string"]},
    "KeySelector": {  # of a Secret or a ConfigMap
        "type": "object",
        "additionalProperties": False,
        "required": ["key"],
        "properties": {"key": {"type": "string"}, "name": {"type": "string"}, "optional": {"type": "boolean"}},
    },
}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
TOKEN = re.compile(r'"[^"]*"|\w+|[{}\[\]<>|():;?&]')
DECLARED = re.compile(r"^export (?:interface \w+(?: extends ([^{]+))? (?=\{)|type \w+ = )", re.MULTILINE)
EXPORTED = re.compile(r"export type \{ \w+ as (\w+),")

Schema = dict[str, Any]


def main() -> int:
    """Download the declarations, convert them and write the schemas."""
    TARGET.mkdir(exist_ok=True)
    for name, (package, group, kinds) in SOURCES.items():
        with tempfile.TemporaryDirectory() as directory:
            command = ["npm", "pack", "--silent", package]
            packed = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)  # noqa: S603
            with tarfile.open(Path(directory) / packed.stdout.split()[-1]) as archive:
                archive.extractall(directory, filter="data")
            declarations = read_declarations(Path(directory) / "package" / group)
        path = TARGET / f"{name}.json"
        path.write_text(json.dumps(convert(package, group, kinds, declarations), indent=1, sort_keys=True) + "\n")
        sys.stdout.write(f"{path}: {', '.join(kinds)} of {package}\n")
    return 0


@dataclass(frozen=True)
class Declaration:
    """The declaration of a type: its name, the names of the types that it extends, and its TypeScript text."""

    name: str
    extends: tuple[str, ...]
    text: str


def read_declarations(directory: Path) -> dict[str, Declaration]:
    """Return the declarations in a directory by the names that other files use to reference them."""
    declarations = {}
    for path in sorted(directory.glob("*.d.ts")):
        text = COMMENT.sub("", path.read_text())
        exported, declared = EXPORTED.search(text), DECLARED.search(text)
        if exported and declared:
            extends = tuple(re.findall(r"\w+", declared[1] or ""))
            declarations[exported[1]] = Declaration(path.name.removesuffix(".d.ts"), extends, text[declared.end() :])
    return declarations


def convert(package: str, group: str, kinds: tuple[str, ...], declarations: dict[str, Declaration]) -> Schema:
    """Return the schema of `kinds`, with the referenced types under $defs."""
    reader = DeclarationParser(declarations)
    specs = {declaration.name: exported for exported, declaration in declarations.items()}
    return {
        "package": package,
        "kinds": {f"{group}/{kind}": reader.reference(specs[f"{kind}Spec"]) for kind in kinds},
        "$defs": reader.definitions,
    }


class DeclarationParser:
    """A recursive-descent parser of the subset of TypeScript that the declarations use."""

    def __init__(self, declarations: dict[str, Declaration]) -> None:
        self._declarations = declarations
        self._tokens: list[str] = []
        self.definitions: dict[str, Schema] = {}

    def reference(self, name: str) -> Schema:
        """Return a reference to the type `name`, and parse the type if it is new. Raise KeyError if it is unknown."""
        for known, schema in APIMACHINERY.items():
            if re.fullmatch(rf"IIoK8sApi.*{known}", name):
                return dict(schema)
        declaration = self._declarations[name]
        if declaration.name not in self.definitions:
            self.definitions[declaration.name] = {}
            outer_tokens, self._tokens = self._tokens, TOKEN.findall(declaration.text)[::-1]
            self.definitions[declaration.name] = self._type()
            self._tokens = outer_tokens
            for base in declaration.extends:
                self._inherit(declaration.name, base)
        return {"$ref": f"#/$defs/{declaration.name}"}

    def _inherit(self, name: str, base: str) -> None:
        """Copy the fields of `base` into `name`, because a closed schema cannot reference another for some fields."""
        self.reference(base)
        inherited = self.definitions[self._declarations[base].name]
        own = self.definitions[name]
        self.definitions[name] = {
            **own,
            "properties": {**inherited["properties"], **own["properties"]},
            "required": sorted({*inherited["required"], *own["required"]}),
        }

    def _type(self) -> Schema:
        members = [self._primary()]
        while self._tokens and self._tokens[-1] == "|":
            self._tokens.pop()
            members.append(self._primary())
        if len(members) == 1:
            return members[0]
        if all("enum" in member for member in members):
            return {"enum": [value for member in members for value in member["enum"]]}
        return {"anyOf": members}

    def _primary(self) -> Schema:
        symbol = self._tokens.pop()
        if symbol == "{":
            return self._object()
        if symbol == "Array":
            self._expect("<")
            items = self._type()
            self._expect(">")
            return {"type": "array", "items": items}
        if symbol.startswith('"'):
            return {"enum": [symbol.strip('"')]}
        if symbol.isdigit():
            return {"enum": [int(symbol)]}
        if symbol in ("string", "number", "boolean"):
            return {"type": symbol}
        return self.reference(symbol)

    def _object(self) -> Schema:
        properties: dict[str, Schema] = {}
        required = []
        while (symbol := self._tokens.pop()) != "}":
            if symbol == "[":
                while self._tokens.pop() != "]":
                    pass
                self._expect(":")
                values = self._type()
                self._expect(";")
                self._expect("}")
                return {"type": "object", "additionalProperties": values}
            name = symbol.strip('"')
            optional = self._tokens[-1] == "?"
            if optional:
                self._tokens.pop()
            else:
                required.append(name)
            self._expect(":")
            properties[name] = self._type()
            self._expect(";")
        return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}

    def _expect(self, symbol: str) -> None:
        token = self._tokens.pop()
        if token != symbol:
            raise ValueError(f"expected {symbol!r}, got {token!r}; extend DeclarationParser to parse it")


if __name__ == "__main__":
    sys.exit(main())
