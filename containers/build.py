"""Builds the images of docker-bake.json for this machine: with `docker buildx bake`, or with plain `docker build`.

Needs only Python. REGISTRY (with its final slash), TAG and PYTHON_IMAGE in the environment override the file's.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-bake.json"


@dataclass(frozen=True)
class Image:
    """One image to build."""

    name: str
    stage: str
    arguments: Mapping[str, str]
    tag: str


def read(text: str, environ: Mapping[str, str]) -> dict[str, Image]:
    """The images of a bake file, by name; each of its variables is taken from `environ` if it is there."""
    variables = {name: str(entry["default"]) for name, entry in json.loads(text)["variable"].items()}
    variables |= {name: environ[name] for name in variables if environ.get(name)}
    table: dict[str, Any] = json.loads(text)["target"]
    images = {}
    for name, target in table.items():
        if name.startswith("_"):
            continue
        inherited = {key: value for parent in target["inherits"] for key, value in table[parent]["args"].items()}
        arguments = {key: Template(value).substitute(variables) for key, value in (inherited | target["args"]).items()}
        images[name] = Image(name, target["target"], arguments, Template(target["tags"][0]).substitute(variables))
    return images


def build_command(image: Image) -> list[str]:
    """`docker build` for one image."""
    arguments = [f"--build-arg={key}={value}" for key, value in image.arguments.items() if value]
    return ["docker", "build", "--quiet", f"--target={image.stage}", *arguments, f"--tag={image.tag}", "."]


def bake_command(names: Iterable[str], platform: str) -> list[str]:
    """`docker buildx bake` for one platform, into the local engine (which holds no image for several)."""
    return ["docker", "buildx", "bake", f"--file={FILE.name}", "--load", f"--set=*.platform={platform}", *names]


def chosen(images: Mapping[str, Image], names: Iterable[str]) -> list[Image]:
    """The images of those names, or all of them. Exits with one line for a name that there is not."""
    wanted = list(names) or list(images)
    for name in wanted:
        if name not in images:
            sys.exit(f"images: there is no image {name!r} in {FILE.name}; there are {', '.join(images)}")
    return [images[name] for name in wanted]


def main(names: list[str]) -> None:
    """Build the images of `names`, or all. The first that fails ends it."""
    registry = os.environ.get("REGISTRY", "")
    if registry and not registry.endswith("/"):
        sys.exit(f"images: REGISTRY={registry}: give it with its final slash, as in registry.example/team/")
    environ = {"REVISION": _git("rev-parse", "HEAD"), "SOURCE": _source(), **os.environ}
    images = chosen(read(FILE.read_text(), environ), names)
    if _succeeds("docker", "buildx", "version"):
        platform = _output("docker", "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        sys.exit(_run(bake_command([image.name for image in images], platform), environ))
    for image in images:
        sys.stdout.write(f"images: {image.tag}\n")
        sys.stdout.flush()
        # The classic builder by name: without buildx a client takes it anyway, and complains each time.
        if _run(build_command(image), {**environ, "DOCKER_BUILDKIT": "0"}):
            sys.exit(f"images: {image.tag} cannot be built: see above")


def _run(command: list[str], environ: Mapping[str, str]) -> int:
    return subprocess.run(command, check=False, cwd=ROOT, env=environ).returncode  # noqa: S603


def _git(*arguments: str) -> str:
    """What git says, or nothing where this is no checkout."""
    done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip() if done.returncode == 0 else ""


def _source() -> str:
    """Where the source can be had, if this checkout knows an address for browsers."""
    return browsable(_git("config", "--get", "remote.origin.url"))


def browsable(remote: str) -> str:
    """A git remote's address for browsers, without credentials; empty if it has none."""
    for form in (
        r"https://(?:[^/@]*@)?([^/@]+)/(.+)",
        r"ssh://(?:[^/@]*@)?([^/@:]+)(?::\d+)?/(.+)",
        r"[^/@]+@([^/:]+):/?(.+)",
    ):
        if found := re.fullmatch(form, remote):
            return f"https://{found[1]}/{found[2].removesuffix('.git')}"
    return ""


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
    except FileNotFoundError:
        sys.exit(
            "images: there is no `docker` on PATH: install Docker, or use the local lab (`make run`), which needs none"
        )


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1:])
