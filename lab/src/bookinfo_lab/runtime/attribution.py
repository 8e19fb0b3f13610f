"""Which of the objects that are being applied is behind what Envoy refuses.

Envoy speaks of its own configuration, in which no object has a name. So it is asked again, with one object left out.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import Document, FieldPath, ManifestError

Verdict = Callable[[Sequence[Document]], bool]
"""Whether Envoy refuses what is made of the objects that were there and of these. Raises ManifestError."""


def behind(changed: Sequence[Document], refused: Verdict) -> list[Document]:
    """Those of `changed` without which Envoy would not refuse; if it refuses without any of them, none."""
    if _refused([], refused):
        return []
    taken: list[Document] = []
    suspects: list[Document] = []
    for document in changed:
        taken.append(document)
        suspects.append(document)
        verdict = _refused(taken, refused)
        if verdict:
            break
        if verdict is False:
            suspects = []
    alone = [item for item in suspects if _refused([other for other in taken if other is not item], refused) is False]
    return alone or suspects


def shaping(changed: Sequence[Document], made: Callable[[Sequence[Document]], object]) -> list[Document]:
    """Those of `changed` that make a difference to what is `made`."""
    whole = made(changed)
    return [item for item in changed if _attempt(made, [other for other in changed if other is not item]) != whole]


def explained(culprits: Sequence[Document], reason: str, fix: str) -> ManifestError:
    """The error for the user: in which object, at which place, what Envoy says."""
    quoted = [item for item in culprits if _place(item, reason)]
    first, *others = quoted or culprits
    names = [f"{item.kind} {item.name}" for item in others]
    return first.error(manifest_errors.rejected_by_envoy(reason, names, fix), _place(first, reason))


def _place(document: Document, reason: str) -> FieldPath:
    """Where in the document the text stands that Envoy quotes; the whole document if that is nowhere or unclear."""
    # An expression of CEL stands in a line of its own, with a mark below.
    quoted = re.search(r" \| (.+?) \| \.*\^", reason) or re.search(r"'(.+)'", reason)
    fragment = quoted[1] if quoted else reason.rpartition(": ")[2]
    found = [path for path, text in _texts(document.body.get("spec"), ("spec",)) if fragment in text]
    patterns = [path for path in found if path[-1] in ("regex", "match")]
    return next((paths[0] for paths in (patterns, found) if len(paths) == 1), ())


def _texts(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


def _refused(documents: Sequence[Document], refused: Verdict) -> bool | None:
    """None where it cannot be told, because one object needs another that is left out."""
    try:
        return refused(documents)
    except ManifestError:
        return None


def _attempt(made: Callable[[Sequence[Document]], object], documents: Sequence[Document]) -> object:
    try:
        return made(documents)
    except ManifestError:
        return None
