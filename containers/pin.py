"""Add the digest to the tag of every third-party image: of the base image in the Dockerfile, and of those in .env.

Docker pulls each tag and reports its digest. If one digest is unavailable, no file is changed.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("Dockerfile", ".env")

_REFERENCE = re.compile(r"^((?:ARG )?[A-Z]+_IMAGE=)([^\s@]+)(@\S+)?$", re.MULTILINE)


class PinError(Exception):
    """A digest is unavailable. The message is one line."""


def references(text: str) -> list[str]:
    """Return the images in lines such as `PYTHON_IMAGE=name:tag`, without digests."""
    return [match[2] for match in _REFERENCE.finditer(text)]


def with_digests(text: str, digests: Mapping[str, str]) -> str:
    """Return `text` with the digest of each image after its tag."""
    return _REFERENCE.sub(lambda match: f"{match[1]}{match[2]}@{digests[match[2]]}", text)


def pin(root: Path, resolve: Callable[[str], str]) -> list[str]:
    """Write the digests that `resolve` returns into the files below `root`, and return the pinned references.

    Raises:
        PinError: a digest is unavailable. No file is changed.
    """
    texts = {name: (root / name).read_text() for name in FILES}
    digests = {image: resolve(image) for text in texts.values() for image in references(text)}
    for name, text in texts.items():
        (root / name).write_text(with_digests(text, digests))
    return [f"{image}@{digest}" for image, digest in digests.items()]


def pull_digest(image: str) -> str:
    """Pull `image` and return its digest in the registry.

    Raises:
        PinError: the image cannot be pulled, or has no digest.
    """
    try:
        _docker("pull", "--quiet", image)
        digests = _docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', image).split()
    except FileNotFoundError:
        raise PinError("docker not found on PATH: install Docker") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PinError(f"{image}: pull failed: {reason}; check the tag and the connection to the registry") from None
    name = image.rpartition(":")[0]
    for reference in digests:
        if reference.rpartition("@")[0] == name:
            return reference.rpartition("@")[2]
    raise PinError(f"{image}: the registry reported no digest; use a registry that supports digests")


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout


if __name__ == "__main__":
    try:
        sys.stdout.writelines(f"pin: {line}\n" for line in pin(ROOT, pull_digest))
    except PinError as error:
        sys.exit(f"pin: no file was changed: {error}")
