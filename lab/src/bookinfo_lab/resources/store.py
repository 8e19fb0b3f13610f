"""The objects that are applied to a lab, as `kubectl apply` and `delete` would have them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bookinfo_lab.errors import LabError, lab_errors
from bookinfo_lab.resources import schema, workloads
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.model.rules import KINDS

ALIASES = {
    "ap": "authorizationpolicy",
    "deploy": "deployment",
    "dr": "destinationrule",
    "gw": "gateway",
    "pa": "peerauthentication",
    "ra": "requestauthentication",
    "sa": "serviceaccount",
    "se": "serviceentry",
    "svc": "service",
    "vs": "virtualservice",
}
"""Short names of kinds, as kubectl has them."""

Key = tuple[str, str, str, str]
Verb = Literal["created", "configured", "unchanged", "deleted", "not found"]


@dataclass(frozen=True)
class Change:
    """What applying or deleting did to one object."""

    kind: str
    name: str
    verb: Verb

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name} {self.verb}"


def key(document: Document) -> Key:
    """What identifies an object; the version of its API does not."""
    return document.group, document.kind, document.namespace, document.name


@dataclass(frozen=True)
class Objects:
    """All objects of a lab, in the order in which they were first applied."""

    documents: Mapping[Key, Document] = field(default_factory=dict)

    @property
    def kubernetes(self) -> list[Document]:
        """What says which workloads run; kinds that nobody knows are among it."""
        return [document for document in self.documents.values() if not _is_rule(document)]

    @property
    def rules(self) -> list[Document]:
        """What says how they are called."""
        return [document for document in self.documents.values() if _is_rule(document)]

    def apply(self, documents: Iterable[Document]) -> tuple["Objects", list[Change]]:
        """These objects with `documents` added or put in place of their older selves, one after the other."""
        merged = dict(self.documents)
        now = 1 + max((document.created for document in merged.values()), default=0)
        changes = []
        for document in documents:
            identity = key(document)
            older = merged.get(identity)
            verb: Verb = "created" if older is None else "unchanged" if older.body == document.body else "configured"
            changes.append(Change(document.kind, document.name, verb))
            merged[identity] = replace(document, created=older.created if older else now)
        return Objects(merged), changes

    def delete(self, documents: Iterable[Document]) -> tuple["Objects", list[Change]]:
        """These objects without those that `documents` names."""
        left = dict(self.documents)
        changes = [
            Change(document.kind, document.name, "deleted" if left.pop(key(document), None) else "not found")
            for document in documents
        ]
        return Objects(left), changes

    def exchange(self, applied: Iterable[Document], deleted: Iterable[Document]) -> tuple["Objects", list[Change]]:
        """These objects without `deleted` and with `applied`, at once: neither has to get on with the other.

        Raises:
            ManifestError: one object is given twice.
        """
        left, gone = self.delete(deleted)
        merged, changes = left.apply(applied)
        return merged, [*gone, *changes]

    def scale(self, deployment: str, replicas: int) -> tuple["Objects", list[Change]]:
        """These objects with another number of replicas in one Deployment.

        Raises:
            LabError: there is no such Deployment, or one in each of several namespaces.
        """
        document, *others = self.select("deployment", deployment)
        if others:
            namespaces = [item.namespace for item in (document, *others)]
            raise LabError(lab_errors.ambiguous_deployment(deployment, namespaces))
        body = {**document.body, "spec": {**document.body["spec"], "replicas": replicas}}
        return self.apply([replace(document, body=body)])

    def select(self, kind: str | None, name: str | None) -> list[Document]:
        """The objects of a kind (full, short or plural name) and a name; None is any.

        Raises:
            LabError: there is no such kind, or none of that kind by that name.
        """
        wanted = ALIASES.get(kind.lower(), kind.lower()) if kind else None
        known = known_kinds()
        if wanted is not None and wanted not in {form for name in known for form in (name, _plural(name))}:
            raise LabError(lab_errors.unknown_kind_name(str(kind), known))
        found = [
            document
            for document in self.documents.values()
            if wanted in (None, document.kind.lower(), _plural(document.kind.lower())) and name in (None, document.name)
        ]
        if not found and name is not None:
            raise LabError(lab_errors.resource_not_found(str(kind), name))
        return found


def overridden(documents: Iterable[Document]) -> list[str]:
    """A line for each object that is given more than once, and not always alike: the last one counts."""
    seen: dict[Key, Document] = {}
    lines = []
    for document in documents:
        older = seen.get(key(document))
        if older is not None and older.body != document.body:
            lines.append(
                f"warning: {document.kind.lower()}/{document.name} is defined in {older.location}, and differently in "
                f"{document.location}; the last definition is used"
            )
        seen[key(document)] = document
    return lines


def shown_kinds(bodies: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kind of each object, with its API's group where several groups have a kind of that name (Gateway)."""
    groups: dict[str, set[str]] = {}
    for known in KINDS:
        group, _, kind = known.partition("/")
        groups.setdefault(kind, set()).add(group)
    return [
        f"{body['kind']}.{body['apiVersion'].partition('/')[0]}"
        if len(groups.get(body["kind"], ())) > 1
        else body["kind"]
        for body in bodies
    ]


def known_kinds() -> list[str]:
    """The kinds that can be applied to a lab, in small letters."""
    kubernetes = [kind for kinds in workloads.KINDS.values() for kind in kinds]
    rules = [kind.partition("/")[2] for kind in KINDS]
    return sorted({kind.lower() for kind in (*kubernetes, *rules)})


def _plural(kind: str) -> str:
    if kind.endswith("y"):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def _is_rule(document: Document) -> bool:
    return document.group in schema.groups() or document.group.endswith(".istio.io")
