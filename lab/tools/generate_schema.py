"""Make the data files of field names, types and enumerations: `python lab/tools/generate_schema.py`.

Sources: the type declarations of npm `@kubernetes-models/istio`, made from Istio's own CRDs, and of
`@kubernetes-models/gateway-api`, made from the Gateway API's own Go types. The exact versions are fetched by
`npm pack`, because a plain install picks a version of years ago on an older Node. Only facts are kept, no descriptions.
Needs npm and its registry.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ISTIO = "@kubernetes-models/istio@3.0.1"
OLDEST_ISTIO = (1, 29)
GATEWAY_API = "@kubernetes-models/gateway-api@2.0.0"
TARGET = Path(__file__).parents[1] / "src/bookinfo_lab/resources/schema"
GROUPS = ("networking.istio.io", "security.istio.io", "telemetry.istio.io")
GATEWAY_API_GROUP = "gateway.networking.k8s.io"

_TOKEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | \s+ | ("(?:[^"\\]|\\.)*" | \w+ | [{}\[\]()<>|&;:?,.])""", re.VERBOSE | re.DOTALL
)
_DECLARED = re.compile(r"^export (?:interface \w+(?: extends (?P<bases>[^{]+))? (?=\{)|type \w+ = )", re.MULTILINE)
_EXPORTED = re.compile(r"^export type \{ \w+ as (\w+),", re.MULTILINE)

_END = ""

Type = Any
"""A JSON form of a type: "string", {"array": T}, {"map": T}, {"enum": [...]}, {"either": [...]}, or
{"fields": {name: T}, "required": [...], "oneof": [[...]]} (of each `oneof` group at most one field may be set)."""


def main() -> int:
    """Fetch, convert, write; 0 if the files were written."""
    for package, converted, name in ((ISTIO, istio, "istio.json"), (GATEWAY_API, gateway_api, "gateway-api.json")):
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(  # noqa: S603
                ["npm", "pack", "--silent", package],  # noqa: S607
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            )
            with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
                archive.extractall(folder, filter="data")
            schema = converted(Path(folder) / "package")
        (TARGET / name).write_text("{\n" + ",\n".join(_lines(schema)) + "\n}\n")
        sys.stdout.write(f"{TARGET / name}: {package}, {len(schema['kinds'])} kinds\n")
    return 0


def istio(package: Path) -> dict[str, Any]:
    """Istio's schema, from the unpacked `package`."""
    kinds: dict[str, Any] = {}
    for file in sorted(package.glob("*.istio.io/v*/*.d.ts")):
        group, version, kind = file.parts[-3], file.parts[-2], file.name.removesuffix(".d.ts")
        if group in GROUPS and kind != "index":
            entry = kinds.setdefault(f"{group}/{kind}", {"versions": []})
            entry["versions"].append(version)
            # `v1` sorts before its own betas and is what the others were promoted to.
            entry.setdefault("spec", parse_interface(file.read_text())["fields"]["spec"])
    return {"package": ISTIO, "istio": istio_version((package / "package.json").read_text()), "kinds": kinds}


def gateway_api(package: Path) -> dict[str, Any]:
    """The Gateway API's schema, from the unpacked `package`. It tells nothing of channels: experimental fields too."""
    folder = package / GATEWAY_API_GROUP
    references = References([path.read_text() for path in sorted(folder.glob("v1/*.d.ts"))])
    kinds: dict[str, Any] = {}
    for file in sorted(folder.glob("v1*/*.d.ts")):
        version, kind = file.parts[-2], file.name.removesuffix(".d.ts")
        spec = f"IIoK8sSigsGatewayApiApisV1{kind}Spec"
        if version in ("v1", "v1beta1") and f'"kind": "{kind}"' in file.read_text() and spec in references.known:
            entry = kinds.setdefault(f"{GATEWAY_API_GROUP}/{kind}", {"versions": []})
            entry["versions"].append(version)
            entry["spec"] = references.type(spec)
    return {"package": GATEWAY_API, "kinds": kinds}


class References:
    """Types that are declared one a file and refer to each other by name. Kubernetes' own are declared elsewhere."""

    _LABELS = {"map": "string"}  # noqa: RUF012  # a constant
    _KUBERNETES = {"LabelSelector": {"fields": {"matchLabels": _LABELS, "matchExpressions": "any"}, "required": []}}  # noqa: RUF012

    def __init__(self, texts: list[str]) -> None:
        self.known = {exported[1]: text for text in texts if (exported := _EXPORTED.search(text))}

    def type(self, name: str) -> Type:
        """The type of that name; "any" if none is declared."""
        for kind, known in self._KUBERNETES.items():
            if name.endswith(f"MetaV1{kind}"):
                return known
        text = re.sub(r"/\*.*?\*/", "", self.known.get(name, ""), flags=re.DOTALL)
        declared = _DECLARED.search(text)
        if declared is None:
            return "any"
        own = _Parser(text[declared.end() :], self.type).type()
        for base in re.findall(r"\w+", declared["bases"] or ""):
            inherited = self.type(base)
            own = {
                **own,
                "fields": {**inherited["fields"], **own["fields"]},
                "required": sorted({*inherited["required"], *own["required"]}),
            }
        return own


def istio_version(package_json: str) -> str:
    """The Istio version of the CRDs that the package was made from; ValueError if it is too old."""
    versions = re.findall(r"istio/(\d+\.\d+\.\d+)/manifests/charts/base/files/crd-all", package_json)
    if not versions or tuple(int(part) for part in versions[-1].split(".")) < OLDEST_ISTIO:
        oldest = ".".join(map(str, OLDEST_ISTIO))
        raise ValueError(f"{ISTIO} is made from Istio {versions or 'of no known version'}, not {oldest} or newer")
    return str(versions[-1])


def parse_interface(text: str) -> Type:
    """The first interface that `text` declares."""
    body = text[text.index("export interface") :]
    return _Parser(body[body.index("{") :]).type()


class _Parser:
    """Recursive descent over the little of TypeScript that the declarations use."""

    def __init__(self, text: str, named: Callable[[str], Type] = lambda _: "any") -> None:
        """`named` tells the types that are declared elsewhere."""
        self._tokens = [*(match[1] for match in _TOKEN.finditer(text) if match[1]), _END]
        self._position = 0
        self._named = named

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
        elif part.startswith('"') or part.isdigit():
            inner = {"enum": [json.loads(part)]}
        elif self._accept("<"):
            arguments = [self.type()]
            while self._accept(","):
                arguments.append(self.type())
            self._expect(">")
            inner = {"array": arguments[0]} if part == "Array" else "excluded"
        else:
            inner = part if part in ("string", "number", "boolean") else self._named(part)
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
    for key in [key for key in schema if key != "kinds"]:
        yield f" {json.dumps(key)}: {json.dumps(schema[key])}"
    kinds = ",\n".join(
        f"  {json.dumps(kind)}: {json.dumps(entry, separators=(',', ':'))}" for kind, entry in schema["kinds"].items()
    )
    yield f' "kinds": {{\n{kinds}\n }}'


if __name__ == "__main__":
    sys.exit(main())
