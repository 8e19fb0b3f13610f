"""The objects of a manifest as plain values with line numbers, and the error about one of them."""

import contextlib
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from bookinfo_lab.errors import Message, described, manifest_errors, shorten

MAX_BYTES = 4 * 1024 * 1024
"""The size of the largest file that is read. etcd accepts objects of about 1.5 MB."""

MAX_VALUES = 200_000
"""The largest number of values in one document, aliases expanded: a few lines of aliases can expand to billions."""

DEFAULT_NAMESPACE = "default"

_TAG = "tag:yaml.org,2002:"
_NOT_BLANK = re.compile(r"\S")

FieldPath = tuple[str | int, ...]
"""The location of a field in a document, e.g. ("spec", "http", 0, "route")."""


class ManifestError(Exception):
    """An invalid or unsupported manifest.

    Its text is one line: `reviews.yaml, line 12, spec.http[0].retries.retryOn: invalid value "599"; use …`. An error
    about a whole object has its kind and name in place of the field. Where the line is unknown (JSON) the number of the
    document takes its place.
    """

    def __init__(
        self,
        message: Message,
        source: str,
        *,
        line: int | None = None,
        index: int | None = None,
        subject: str = "",
        path: FieldPath = (),
    ) -> None:
        """`index` counts the documents of the file from 0; `subject` is the kind and name of the object."""
        super().__init__(message)
        self.message = message
        self.source = source
        self.line = line
        self.index = index
        self.subject = subject
        self.path = path

    @property
    def code(self) -> str:
        """The code of the message, such as `unknown-field`."""
        return self.message.code

    @property
    def field(self) -> str:
        """The path as text, such as `spec.http[0].route`."""
        return dotted(self.path)

    @property
    def location(self) -> str:
        """The file, the line or document, and the field or object."""
        parts = [self.source]
        if self.line is not None:
            parts += [f"line {self.line}", shorten(self.field) or self.subject]
        elif self.index is not None:
            document = f"document {self.index + 1}"
            parts += [f"{document} ({self.subject})" if self.subject else document, shorten(self.field)]
        return ", ".join(part for part in parts if part)

    def __str__(self) -> str:
        return " ".join(f"{self.location}: {self.message}".split())


@dataclass(frozen=True)
class Document:
    """One object of a manifest: its identity, its body and its location."""

    api_version: str
    kind: str
    name: str
    namespace: str
    body: Mapping[str, Any]
    source: str
    index: int  # counted from 0 in its file
    node: yaml.Node | None = field(default=None, repr=False, compare=False)  # for line numbers
    created: int = 0  # the number of the change that created it, which orders objects by age

    @property
    def group(self) -> str:
        """The API group; "" for the core group of Kubernetes."""
        return self.api_version.rpartition("/")[0]

    def line(self, path: FieldPath) -> int | None:
        """Return the line (from 1) of the value at `path`, or of the nearest value that encloses it."""
        return _line(self.node, path) if self.node is not None else None

    @property
    def location(self) -> str:
        """The file, and the line or the document in it."""
        line = self.line(())
        return f"{self.source}, line {line}" if line else f"{self.source}, document {self.index + 1}"

    def error(self, message: Message, path: FieldPath = ()) -> ManifestError:
        """Return an error about the field at `path`, or about the whole object."""
        return ManifestError(
            message,
            self.source,
            line=self.line(path),
            index=self.index,
            subject=f"{self.kind} {self.name}",
            path=path,
        )


def dotted(path: FieldPath) -> str:
    """Return a path as text: `spec.http[0].route`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_documents(text: str, source: str) -> list[Document]:
    """Return every object in `text`, those in a `List` included. `source` is the file's name in errors.

    Raises:
        ManifestError: the text is invalid YAML, empty or too large, has a duplicate key, or contains an object without
            apiVersion, kind or metadata.name.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ManifestError(manifest_errors.file_too_large(MAX_BYTES // 1024**2), source)
    try:
        documents = [
            document
            for index, (node, body) in enumerate(_load(text, source))
            if body is not None
            for document in _objects(body, node, source, index)
        ]
    except (yaml.YAMLError, RecursionError) as error:
        raise _invalid_yaml(error, source) from None
    if not documents:
        raise ManifestError(manifest_errors.no_objects(), source)
    return documents


def _invalid_yaml(error: Exception, source: str) -> ManifestError:
    if isinstance(error, RecursionError):
        return ManifestError(manifest_errors.invalid_yaml("it is nested too deeply"), source)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ManifestError(manifest_errors.invalid_yaml(str(error)), source)
    reason = f"{error.problem} (column {error.problem_mark.column + 1})"
    return ManifestError(manifest_errors.invalid_yaml(reason), source, line=error.problem_mark.line + 1)


def _load(text: str, source: str) -> Sequence[tuple[yaml.Node | None, Any]]:
    try:
        return _load_yaml(text, source)
    except yaml.YAMLError:
        # Some JSON is not YAML: objects that follow each other, and surrogate pairs.
        with contextlib.suppress(ValueError):
            return [(None, body) for body in _load_json(text)]
        raise


def _load_json(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    position = 0
    while rest := _NOT_BLANK.search(text, position):
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
                    manifest_errors.too_many_values(MAX_VALUES),
                    source,
                    line=node.start_mark.line + 1,
                    index=len(loaded),
                )
            loaded.append((node, loader.construct_document(node)))
    finally:
        loader.dispose()
    return loaded


@functools.cache
def _loader_class() -> Any:
    """Return a loader that reads YAML as Kubernetes does: keys are unique strings, and dates and times are strings."""
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
            """Return the entries of a mapping by key: its own, and those that a merge key (`<<`) adds."""
            if not isinstance(node, yaml.MappingNode):
                raise yaml.MarkedYAMLError(
                    problem="a merge key (<<) requires an object or a list of objects", problem_mark=node.start_mark
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
                        problem=f'the key "{key}" occurs twice', problem_mark=key_node.start_mark
                    )
                entries[key] = yaml.ScalarNode(f"{_TAG}str", key, key_node.start_mark, key_node.end_mark), value
            for source in merged:
                entries = {**self._entries(source), **entries}
            return entries

    return Loader


def _key(value: object, node: yaml.Node) -> str:
    """Return a key as text. kubectl converts numbers and booleans, too (sigs.k8s.io/yaml)."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return f"{value:g}"
    raise yaml.MarkedYAMLError(problem=f"expected a string as the key, got {value!r}", problem_mark=node.start_mark)


def _count(node: yaml.Node, limit: int) -> int:
    """Return the number of values in `node`, aliases expanded. Stops soon after `limit`."""
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
    def error(message: Message) -> ManifestError:
        line = node.start_mark.line + 1 if node is not None else None
        return ManifestError(message, source, line=line, index=index)

    def text(owner: Mapping[str, Any], key: str, prefix: str = "") -> str:
        value = owner.get(key)
        if value is None or value == "":
            raise error(manifest_errors.missing_field(prefix + key))
        if not isinstance(value, str):
            raise error(manifest_errors.wrong_type(f"{prefix}{key} as a string", described(value), "quote it"))
        return value

    if not isinstance(body, Mapping):
        raise error(manifest_errors.wrong_type("an object", described(body), "start with apiVersion"))
    api_version = text(body, "apiVersion")
    kind = text(body, "kind")
    items = body.get("items")
    if kind.endswith("List") and isinstance(items, Sequence):
        return [
            document
            for number, item in enumerate(items)
            for document in _objects(item, _child(_child(node, "items"), number), source, index)
        ]
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        raise error(manifest_errors.missing_field("metadata"))
    namespace = metadata.get("namespace", DEFAULT_NAMESPACE)
    if not isinstance(namespace, str):
        raise error(manifest_errors.wrong_type("metadata.namespace as a string", described(namespace), "quote it"))
    return [
        Document(
            api_version=api_version,
            kind=kind,
            name=text(metadata, "name", "metadata."),
            namespace=namespace,
            body=body,
            source=source,
            index=index,
            node=node,
        )
    ]


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]  # type: ignore[no-any-return]  # PyYAML's nodes are untyped
    return None


def _line(node: yaml.Node, path: FieldPath) -> int:
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        node = child
    return int(node.start_mark.line) + 1
