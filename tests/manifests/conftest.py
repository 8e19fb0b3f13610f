"""Every manifest that is written by hand: the workloads, the mesh, the add-ons."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("kubernetes", "istio", "observability/addons")
HELM_VALUES = {"istio/telemetry/mesh/values.yaml"}

Object = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """One object, and the file that it stands in."""

    file: str
    body: Object

    def __str__(self) -> str:
        return f"{self.file}:{self.body['kind']}/{self.body['metadata']['name']}"


def read(file: str) -> list[Object]:
    """The objects of a file, relative to the repository."""
    return [item for item in yaml.safe_load_all((ROOT / file).read_text()) if item]


def manifests(*folders: str) -> list[Manifest]:
    """All objects below these folders."""
    files = sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.yaml"))
    return [Manifest(file, body) for file in files if file not in HELM_VALUES for body in read(file)]


EVERYTHING = manifests(*FOLDERS)
