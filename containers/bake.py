"""Makes docker-bake.json from images.yaml: the list of images, in the form in which `docker buildx bake` reads it.

What varies per build (registry, tag, base image, revision) are bake's variables; each is `${NAME}` in the text and
nothing cleverer, so that `build.py` can read the same file where there is no buildx.
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
    """The bake file for `images` (see images.yaml), tagged `version` unless TAG says otherwise."""
    targets = {name: _service(name, entry) for name, entry in images.items()} | {ENVOY: _target(ENVOY, "envoy", {})}
    arguments = {name: f"${{{name}}}" for name in ("PYTHON_IMAGE", "RELEASE", "REVISION", "SOURCE")}
    return {
        "//": "Made from images.yaml and the Dockerfile by `make bake`: change those.",
        "variable": {
            # With its final slash, e.g. `registry.example/bookinfo/`.
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
    """The default base image of a Dockerfile."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    if found is None:
        raise ValueError("the Dockerfile has no line `ARG PYTHON_IMAGE=...`")
    return found[1]


def rendered() -> str:
    """What docker-bake.json should hold now."""
    images = yaml.safe_load((ROOT / "images.yaml").read_text())
    version = (ROOT / "VERSION").read_text().strip()
    base = python_image((ROOT / "Dockerfile").read_text())
    return json.dumps(bake(images, version, base), indent=2) + "\n"


def _service(name: str, entry: Json) -> Json:
    """An image with environment baked in is a thin variant of its service's."""
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
    FILE.write_text(rendered())
    sys.stdout.write(f"{FILE.name} is written\n")
