"""Which process an image name stands for (images.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from bookinfo_lab.errors import LabError


@dataclass(frozen=True)
class Image:
    """What a container of this image runs, and the environment that is baked into it."""

    package: str  # runs as `python -m PACKAGE`
    env: Mapping[str, str]


def read(path: Path) -> dict[str, Image]:
    """The images by name, without registry and tag.

    Raises:
        LabError: the file is not such a table.
    """
    table = yaml.safe_load(path.read_text())
    images = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or "package" not in entry or entry.keys() - {"package", "directory", "env"}:
            raise LabError(f"{path}: {name}: expected `package`, and optionally `directory` and `env`")
        images[name] = Image(entry["package"], {key: str(value) for key, value in entry.get("env", {}).items()})
    return images


def repository_name(reference: str) -> str:
    """`docker.io/istio/examples-bookinfo-details-v1:1.20.3@sha256:…` -> `examples-bookinfo-details-v1`."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
