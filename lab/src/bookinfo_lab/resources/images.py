"""The process that each container image runs (images.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from bookinfo_lab.errors import LabError, lab_errors


@dataclass(frozen=True)
class Image:
    """The process of a container, and the environment that the image sets."""

    package: str  # runs as `python -m PACKAGE`
    env: Mapping[str, str]


def read(path: Path) -> dict[str, Image]:
    """Return the images by name, without registry and tag.

    Raises:
        LabError: an entry of the file is invalid.
    """
    table = yaml.safe_load(path.read_text())
    images = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or "package" not in entry or entry.keys() - {"package", "directory", "env"}:
            raise LabError(lab_errors.invalid_image(str(path), name))
        images[name] = Image(entry["package"], {key: str(value) for key, value in entry.get("env", {}).items()})
    return images


def repository_name(reference: str) -> str:
    """Return an image's name without registry and tag: `docker.io/istio/details:1.20.3@sha256:…` -> `details`."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
