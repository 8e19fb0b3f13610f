"""Kubernetes-style YAML files as plain documents, and the one error that says what is wrong with one of them."""

import contextlib
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from bookinfo_lab.errors import brief

MAX_BYTES = 4 * 1024 * 1024
"""The largest file that is read; etcd takes objects of about 1.5 MB."""

MAX_VALUES = 200_000
"""The most values in one document after its aliases are followed: a few lines of aliases can stand for billions."""

DEFAULT_NAMESPACE = "default"

_TAG = "tag:yaml.org,2002:"
_REST = re.compile(r"\S")

Path = tuple[str | int, ...]
"""Where a value stands in a document, e.g. ("spec", "http", 0, "route")."""


class ManifestError(Exception):
    """A manifest that cannot be used. Its text is one line: file, document, path, what is wrong, what to do."""

    def __init__(
        self, message: str, source: str, document: "Document | int | None" = None, path: Path = (), hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.document = document
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        place = self.source
        if isinstance(self.document, Document):
            place += f": document {self.document.index + 1} ({self.document.kind} {self.document.name})"
            line = self.document.line(self.path)
            where = ", ".join(part for part in (brief(dotted(self.path)), f"line {line}" if line else "") if part)
            place += f": {where}" if where else ""
        elif self.document is not None:
            place += f": document {self.document + 1}"
        text = f"{place}: {brief(self.message)}"
        return " ".join((f"{text}; {self.hint}" if self.hint else text).split())


@dataclass(frozen=True)
class Document:
    """One object of a manifest: its identity, its whole body, and where it was read."""

    api_version: str
    kind: str
    name: str
    namespace: str
    body: Mapping[str, Any]
    source: str
    index: int  # counted from 0 in its file
    node: yaml.Node | None = field(default=None, repr=False, compare=False)  # for line numbers
    created: int = 0  # in the how-manieth change it was applied first: its age among others

    @property
    def group(self) -> str:
        """The group of its API; "" for Kubernetes' core."""
        return self.api_version.rpartition("/")[0]

    def line(self, path: Path) -> int | None:
        """The line (from 1) at which the value at `path`, or the nearest value that encloses it, begins."""
        return _line(self.node, path) if self.node is not None else None

    def error(self, message: str, path: Path = (), hint: str = "") -> ManifestError:
        """An error about the value at `path` of this document."""
        return ManifestError(message, self.source, self, path, hint)


def dotted(path: Path) -> str:
    """A path as people write it: `spec.http[0].route`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_documents(text: str, source: str) -> list[Document]:
    """Every object in `text`, with `List` kinds flattened.

    Raises ManifestError for what is not YAML, is empty or too large, holds a key twice, or is not an object with
    apiVersion, kind and metadata.name. `source` names the file in errors.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ManifestError(f"is larger than {MAX_BYTES // 1024**2} MB", source, hint="split it into several files")
    try:
        documents = [
            document
            for index, (node, body) in enumerate(_load(text, source))
            if body is not None
            for document in _objects(body, node, source, index)
        ]
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError(f"is not YAML: {_reason(error)}", source, hint="correct the syntax there") from None
    if not documents:
        raise ManifestError("holds no object", source, hint="it needs at least one with apiVersion, kind and metadata")
    return documents


def _reason(error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error).replace("\n", " ") or "it nests too deeply"
    return f"{error.problem} at line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"


def _load(text: str, source: str) -> Sequence[tuple[yaml.Node | None, Any]]:
    try:
        return _load_yaml(text, source)
    except yaml.YAMLError:
        # Not all JSON is YAML: objects that follow each other, and what is written as a pair of surrogates.
        with contextlib.suppress(ValueError):
            return [(None, body) for body in _load_json(text)]
        raise


def _load_json(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    position = 0
    while rest := _REST.search(text, position):
        body, position = decoder.raw_decode(text, rest.start())
        yield body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _load_yaml(text: str, source: str) -> list[tuple[yaml.Node, Any]]:
    loader = _loader_class()(text)
    loaded: list[tuple[yaml.Node, Any]] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if _count(node, MAX_VALUES) > MAX_VALUES:
                raise ManifestError(
                    f"has more than {MAX_VALUES} values", source, len(loaded), hint="write out its aliases, or split it"
                )
            loaded.append((node, loader.construct_document(node)))
    finally:
        loader.dispose()
    return loaded


@functools.cache
def _loader_class() -> Any:
    """YAML as Kubernetes reads it: keys become text and occur once, and what looks like a date or a time is text."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # the base is chosen above
        yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own class attribute
            first: [(tag, regexp) for tag, regexp in resolvers if tag not in (f"{_TAG}timestamp", f"{_TAG}value")]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }

        def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
            tag: str = super().resolve(kind, value, implicit)
            sexagesimal = tag in (f"{_TAG}int", f"{_TAG}float") and ":" in value
            return f"{_TAG}str" if sexagesimal else tag

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            node.value = list(self._entries(node).values())
            constructed: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            return constructed

        def _entries(self, node: yaml.Node) -> dict[str, tuple[yaml.ScalarNode, yaml.Node]]:
            """What a mapping holds, by key: its own, and what a merge key (`<<`) adds to it."""
            if not isinstance(node, yaml.MappingNode):
                raise yaml.MarkedYAMLError(
                    problem="a merge key (<<) takes an object or a list of them", problem_mark=node.start_mark
                )
            entries: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
            merged: list[yaml.Node] = []
            for key_node, value in node.value:
                if key_node.tag == f"{_TAG}merge":
                    merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                    continue
                key = _key(self.construct_object(key_node, deep=True), key_node)
                if key in entries:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key!r} occurs twice", problem_mark=key_node.start_mark
                    )
                entries[key] = yaml.ScalarNode(f"{_TAG}str", key, key_node.start_mark, key_node.end_mark), value
            for source in merged:
                entries = {**self._entries(source), **entries}
            return entries

    return Loader


def _key(value: object, node: yaml.Node) -> str:
    """A key as text; kubectl makes text of numbers and truth values, too (sigs.k8s.io/yaml)."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return f"{value:g}"
    raise yaml.MarkedYAMLError(problem=f"the key {value!r} is not text", problem_mark=node.start_mark)


def _count(node: yaml.Node, limit: int) -> int:
    """How many values `node` stands for, aliases followed; stops soon after `limit`."""
    total = 0
    stack = [node]
    while stack and total <= limit:
        current = stack.pop()
        total += 1
        if isinstance(current, yaml.MappingNode):
            stack += [value for _, value in current.value]
        elif isinstance(current, yaml.SequenceNode):
            stack += current.value
    return total


def _objects(body: object, node: yaml.Node | None, source: str, index: int) -> list[Document]:
    if not isinstance(body, Mapping):
        raise ManifestError(f"is {_described(body)}, not an object", source, index, hint="begin with apiVersion")
    api_version = _text(body, "apiVersion", source, index)
    kind = _text(body, "kind", source, index)
    items = body.get("items")
    if kind.endswith("List") and isinstance(items, Sequence):
        return [
            document
            for number, item in enumerate(items)
            for document in _objects(item, _child(_child(node, "items"), number), source, index)
        ]
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        raise ManifestError("has no metadata", source, index, hint="give it metadata with a name")
    namespace = metadata.get("namespace", DEFAULT_NAMESPACE)
    if not isinstance(namespace, str):
        raise ManifestError("metadata.namespace is not text", source, index, hint="quote it")
    return [
        Document(
            api_version=api_version,
            kind=kind,
            name=_text(metadata, "name", source, index, "metadata."),
            namespace=namespace,
            body=body,
            source=source,
            index=index,
            node=node,
        )
    ]


def _text(body: Mapping[str, Any], key: str, source: str, index: int, prefix: str = "") -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"has no {prefix}{key}", source, index, hint=f"give it {prefix}{key} as text")
    return value


def _described(value: object) -> str:
    return {list: "a list", str: "text", bool: "a truth value"}.get(type(value), "a number")


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]  # type: ignore[no-any-return]  # PyYAML's nodes are untyped
    return None


def _line(node: yaml.Node, path: Path) -> int:
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        node = child
    return int(node.start_mark.line) + 1
