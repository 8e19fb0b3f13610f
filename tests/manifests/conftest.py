"""All manifests: workloads, mesh rules, add-ons."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DIRECTORIES = ("kubernetes", "istio", "observability/addons")
HELM_VALUES = {"istio/telemetry/mesh/values.yaml"}

Object = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """One object and its file."""

    file: str
    body: Object

    def __str__(self) -> str:
        return f"{self.file}:{self.body['kind']}/{self.body['metadata']['name']}"


def read(file: str) -> list[Object]:
    """Return the objects of a file. Its path is relative to the repository."""
    return [item for item in yaml.safe_load_all((ROOT / file).read_text()) if item]


def manifests(*directories: str) -> list[Manifest]:
    """Return all objects in these directories."""
    files = sorted(
        str(path.relative_to(ROOT)) for directory in directories for path in (ROOT / directory).rglob("*.yaml")
    )
    return [Manifest(file, body) for file in files if file not in HELM_VALUES for body in read(file)]


EVERYTHING = manifests(*DIRECTORIES)
