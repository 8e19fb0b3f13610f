"""The applied objects of a lab, with the operations of `kubectl apply`, `delete`, `get` and `scale`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bookinfo_lab.errors import LabError, lab_errors
from bookinfo_lab.resources import kubernetes, schema
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
"""Short names of kinds, the same as kubectl's."""

Key = tuple[str, str, str, str]
Verb = Literal["created", "configured", "unchanged", "deleted", "not found"]


@dataclass(frozen=True)
class Change:
    """The effect of applying or deleting one object."""

    kind: str
    name: str
    verb: Verb

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name} {self.verb}"


def key(document: Document) -> Key:
    """Return the identity of an object, which does not depend on its API version."""
    return document.group, document.kind, document.namespace, document.name


@dataclass(frozen=True)
class ObjectStore:
    """All applied objects of a lab, in the order in which they were created. Immutable."""

    documents: Mapping[Key, Document] = field(default_factory=dict)

    @property
    def workloads(self) -> list[Document]:
        """The objects of Kubernetes, which define the workloads. Unknown kinds are included."""
        return [document for document in self.documents.values() if not _is_rule(document)]

    @property
    def rules(self) -> list[Document]:
        """The objects of Istio and of the Gateway API, which define the traffic between workloads."""
        return [document for document in self.documents.values() if _is_rule(document)]

    def apply(self, documents: Iterable[Document]) -> tuple["ObjectStore", list[Change]]:
        """Return a store in which `documents` are created or updated, in this order."""
        merged = dict(self.documents)
        now = 1 + max((document.created for document in merged.values()), default=0)
        changes = []
        for document in documents:
            identity = key(document)
            previous = merged.get(identity)
            verb: Verb = (
                "created" if previous is None else "unchanged" if previous.body == document.body else "configured"
            )
            changes.append(Change(document.kind, document.name, verb))
            merged[identity] = replace(document, created=previous.created if previous else now)
        return ObjectStore(merged), changes

    def delete(self, documents: Iterable[Document]) -> tuple["ObjectStore", list[Change]]:
        """Return a store without the objects that `documents` name."""
        remaining = dict(self.documents)
        changes = [
            Change(document.kind, document.name, "deleted" if remaining.pop(key(document), None) else "not found")
            for document in documents
        ]
        return ObjectStore(remaining), changes

    def apply_and_delete(
        self, applied: Iterable[Document], deleted: Iterable[Document]
    ) -> tuple["ObjectStore", list[Change]]:
        """Return a store without `deleted` and with `applied`, which may exclude each other."""
        remaining, deletions = self.delete(deleted)
        updated, changes = remaining.apply(applied)
        return updated, [*deletions, *changes]

    def scale(self, deployment: str, replicas: int) -> tuple["ObjectStore", list[Change]]:
        """Return a store in which one Deployment has another number of replicas.

        Raises:
            LabError: the Deployment is not found, or exists in several namespaces.
        """
        document, *others = self.select("deployment", deployment)
        if others:
            namespaces = [item.namespace for item in (document, *others)]
            raise LabError(lab_errors.ambiguous_deployment(deployment, namespaces))
        body = {**document.body, "spec": {**document.body["spec"], "replicas": replicas}}
        return self.apply([replace(document, body=body)])

    def select(self, kind: str | None, name: str | None) -> list[Document]:
        """Return the objects of a kind (its full, short or plural name) and a name. None matches any.

        Raises:
            LabError: the kind is unknown, or no object has this name.
        """
        kind_name = ALIASES.get(kind.lower(), kind.lower()) if kind else None
        known = known_kinds()
        if kind_name is not None and kind_name not in {form for name in known for form in (name, _plural(name))}:
            raise LabError(lab_errors.unknown_kind_name(str(kind), known))
        found = [
            document
            for document in self.documents.values()
            if kind_name in (None, document.kind.lower(), _plural(document.kind.lower()))
            and name in (None, document.name)
        ]
        if not found and name is not None:
            raise LabError(lab_errors.resource_not_found(str(kind), name))
        return found


def _verb(previous: Document | None, document: Document) -> Verb:
    if previous is None:
        return "created"
    return "unchanged" if previous.body == document.body else "configured"


def duplicate_warnings(documents: Iterable[Document]) -> list[str]:
    """Return a warning for each object that occurs more than once with different contents. The last one is used."""
    seen: dict[Key, Document] = {}
    lines = []
    for document in documents:
        first = seen.get(key(document))
        if first is not None and first.body != document.body:
            lines.append(
                f"warning: {document.kind.lower()}/{document.name} is defined in {first.location}, and differently in "
                f"{document.location}; the last definition is used"
            )
        seen[key(document)] = document
    return lines


def display_kinds(bodies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the kind of each object, with its API group if several groups define a kind of this name (Gateway)."""
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
    """Return the kinds that a lab accepts, in lower case."""
    own_kinds = [kind for kinds in kubernetes.KINDS.values() for kind in kinds]
    rules = [kind.partition("/")[2] for kind in KINDS]
    return sorted({kind.lower() for kind in (*own_kinds, *rules)})


def _plural(kind: str) -> str:
    if kind.endswith("y"):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def _is_rule(document: Document) -> bool:
    return document.group in schema.groups() or document.group.endswith(".istio.io")
