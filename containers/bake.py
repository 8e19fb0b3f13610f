"""Generate docker-bake.json, the input of `docker buildx bake`, from images.yaml.

The values that differ between builds (registry, tag, base image, revision) are bake variables. Each occurs only as
`${NAME}`, so that `build.py` can read the same file without buildx.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-bake.json"
ENVOY = "bookinfo-envoy"
PLATFORMS = ("linux/amd64", "linux/arm64")

Json = dict[str, Any]


def bake(images: Mapping[str, Json], version: str, python_image: str) -> Json:
    """Return the bake file for `images` (format: images.yaml). The default tag is `version`."""
    targets = {name: _service_target(name, entry) for name, entry in images.items()}
    targets[ENVOY] = _target(ENVOY, "envoy", {})
    arguments = {name: f"${{{name}}}" for name in ("PYTHON_IMAGE", "RELEASE", "REVISION", "SOURCE")}
    return {
        "//": "Generated from images.yaml and the Dockerfile by `make bake`: edit those instead.",
        "variable": {
            # Ends with a slash, for example `registry.example/bookinfo/`.
            "REGISTRY": {"default": ""},
            "TAG": {"default": version},
            "PYTHON_IMAGE": {"default": python_image},
            "RELEASE": {"default": version},
            "REVISION": {"default": ""},
            "SOURCE": {"default": ""},
        },
        "group": {"default": {"targets": list(targets)}},
        "target": {"_common": {"context": ".", "platforms": list(PLATFORMS), "args": arguments}} | targets,
    }


def python_image(dockerfile: str) -> str:
    """Return the default base image of a Dockerfile."""
    match = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    if match is None:
        raise ValueError("Dockerfile: missing line `ARG PYTHON_IMAGE=...`; add it before the first FROM")
    return match[1]


def generate() -> str:
    """Return the current text of docker-bake.json."""
    images = yaml.safe_load((ROOT / "images.yaml").read_text())
    version = (ROOT / "VERSION").read_text().strip()
    base = python_image((ROOT / "Dockerfile").read_text())
    return json.dumps(bake(images, version, base), indent=2) + "\n"


def _service_target(name: str, entry: Json) -> Json:
    """Return the target of an image. With an environment, the image is a variant of its service's image."""
    arguments = {"SERVICE": entry["package"].removeprefix("bookinfo_"), **entry.get("env", {})}
    if "directory" in entry:
        arguments["DIRECTORY"] = entry["directory"]
    return _target(name, "variant" if entry.get("env") else "service", arguments)


def _target(name: str, stage: str, arguments: Json) -> Json:
    return {
        "inherits": ["_common"],
        "target": stage,
        "args": {key: str(value) for key, value in arguments.items()},
        "tags": [f"${{REGISTRY}}{name}:${{TAG}}"],
    }


if __name__ == "__main__":
    FILE.write_text(generate())
    sys.stdout.write(f"bake: wrote {FILE.name}\n")
