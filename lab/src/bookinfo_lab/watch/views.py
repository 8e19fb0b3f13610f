"""The JSON views of scenarios and of applied objects."""

from collections.abc import Mapping
from typing import Any

import yaml

from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import ObjectStore

_SECRET_FIELDS = ("data", "stringData")


def scenarios() -> list[dict[str, Any]]:
    """Return all scenarios, with the commands, the traffic and the claims of each step."""
    from bookinfo_lab.scenarios import shell_commands
    from bookinfo_lab.scenarios.definitions import SCENARIOS

    return [
        {
            "name": scenario.name,
            "title": scenario.title,
            "teaches": scenario.teaches,
            "text": scenario.text.strip(),
            "setup": [
                *shell_commands.change("delete", scenario.removed),
                *shell_commands.change("apply", scenario.setup),
            ],
            "steps": [
                {
                    "title": step.title,
                    "text": step.text.strip(),
                    "commands": [
                        *shell_commands.change("delete", step.delete),
                        *shell_commands.change("apply", step.apply),
                    ],
                    "observations": [
                        {
                            "traffic": str(observation.traffic),
                            "claims": [claim.expected for claim in (*observation.effects, *observation.invariants)],
                        }
                        for observation in step.observations
                    ],
                }
                for step in scenario.steps
            ],
        }
        for scenario in SCENARIOS
    ]


def objects(applied: ObjectStore, start: ObjectStore) -> list[dict[str, str]]:
    """Return the objects and how they differ from the start: new, changed and deleted objects first."""
    rows = [
        {
            "kind": document.kind,
            "namespace": document.namespace,
            "name": document.name,
            "api_version": document.api_version,
            "source": document.source,
            "change": _change(document, start.documents.get(identity)),
        }
        for identity, document in applied.documents.items()
    ]
    deleted = [
        {
            "kind": document.kind,
            "namespace": document.namespace,
            "name": document.name,
            "api_version": document.api_version,
            "source": document.source,
            "change": "deleted",
        }
        for identity, document in start.documents.items()
        if identity not in applied.documents
    ]
    return sorted([*rows, *deleted], key=lambda row: not row["change"])


def manifest(applied: ObjectStore, kind: str, namespace: str, name: str) -> str:
    """Return an object as YAML, without the values of a Secret.

    Raises:
        LabError: the object does not exist.
    """
    found = [item for item in applied.select(kind, name) if item.namespace == namespace]
    if not found:
        raise LabError(f"{kind}/{name}: not found in {namespace}")
    return str(yaml.safe_dump(_without_secrets(found[0]), sort_keys=False))


def _change(document: Document, before: Document | None) -> str:
    if before is None:
        return "new"
    return "" if before.body == document.body else "changed"


def _without_secrets(document: Document) -> Mapping[str, Any]:
    body = dict(document.body)
    if document.kind == "Secret":
        for field in _SECRET_FIELDS:
            body |= {field: dict.fromkeys(body[field], "(hidden)")} if field in body else {}
    return body
