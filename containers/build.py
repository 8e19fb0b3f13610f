"""Build the images of docker-bake.json for this machine, with `docker buildx bake` or, without buildx, `docker build`.

The script needs only the standard library. The environment variables REGISTRY (which ends with a slash), TAG and
PYTHON_IMAGE override the defaults of the file.
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
    """An image to build: its name, its stage of the Dockerfile, its build arguments and its tag."""

    name: str
    stage: str
    arguments: Mapping[str, str]
    tag: str


def read(text: str, environ: Mapping[str, str]) -> dict[str, Image]:
    """Return the images of a bake file by name. Variables in `environ` override the defaults of the file."""
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
    """Return the `docker build` command of an image."""
    arguments = [f"--build-arg={key}={value}" for key, value in image.arguments.items() if value]
    return ["docker", "build", "--quiet", f"--target={image.stage}", *arguments, f"--tag={image.tag}", "."]


def bake_command(names: Iterable[str], platform: str) -> list[str]:
    """Return the `docker buildx bake` command for one platform. The engine cannot load multi-platform images."""
    return ["docker", "buildx", "bake", f"--file={FILE.name}", "--load", f"--set=*.platform={platform}", *names]


def select(images: Mapping[str, Image], names: Iterable[str]) -> list[Image]:
    """Return the images with these names, or all without names. Exit with an error for an unknown name."""
    selected = list(names) or list(images)
    for name in selected:
        if name not in images:
            sys.exit(f"images: image {name!r} not found in {FILE.name}; use one of {', '.join(images)}")
    return [images[name] for name in selected]


def main(names: list[str]) -> None:
    """Build the images with these names, or all. Exit at the first failure."""
    registry = os.environ.get("REGISTRY", "")
    if registry and not registry.endswith("/"):
        sys.exit(f"images: REGISTRY={registry}: missing slash at the end; use REGISTRY={registry}/")
    environ = {"REVISION": _git("rev-parse", "HEAD"), "SOURCE": _source(), **os.environ}
    images = select(read(FILE.read_text(), environ), names)
    if _succeeds("docker", "buildx", "version"):
        platform = _output("docker", "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        sys.exit(_run(bake_command([image.name for image in images], platform), environ))
    for image in images:
        sys.stdout.write(f"images: {image.tag}\n")
        sys.stdout.flush()
        # Without buildx, the client uses the classic builder anyway, but prints a warning unless it is selected.
        if _run(build_command(image), {**environ, "DOCKER_BUILDKIT": "0"}):
            sys.exit(f"images: building {image.tag} failed: fix the error above")


def _run(command: list[str], environ: Mapping[str, str]) -> int:
    return subprocess.run(command, check=False, cwd=ROOT, env=environ).returncode  # noqa: S603


def _git(*arguments: str) -> str:
    """Return the output of a git command, or an empty string if it fails, such as outside a checkout."""
    done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip() if done.returncode == 0 else ""


def _source() -> str:
    return browser_url(_git("config", "--get", "remote.origin.url"))


def browser_url(remote: str) -> str:
    """Return the address of a git remote for browsers, without credentials, or an empty string if it has none."""
    for pattern in (
        r"https://(?:[^/@]*@)?([^/@]+)/(.+)",
        r"ssh://(?:[^/@]*@)?([^/@:]+)(?::\d+)?/(.+)",
        r"[^/@]+@([^/:]+):/?(.+)",
    ):
        if match := re.fullmatch(pattern, remote):
            return f"https://{match[1]}/{match[2].removesuffix('.git')}"
    return ""


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
    except FileNotFoundError:
        sys.exit("images: docker not found on PATH: install Docker, or use the local lab (`make run`) instead")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1:])
