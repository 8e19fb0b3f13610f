"""Records the digest of every image that this project takes from elsewhere, beside its tag.

Docker pulls each tag and says what it got; nothing is written unless all are there. The base image stands in the
Dockerfile, the others in .env.
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
    """A digest cannot be had. The message is one line."""


def references(text: str) -> list[str]:
    """The images that `text` names as `..._IMAGE=name:tag`, without digests."""
    return [found[2] for found in _REFERENCE.finditer(text)]


def pinned(text: str, digests: Mapping[str, str]) -> str:
    """`text` with each image's digest after its tag."""
    return _REFERENCE.sub(lambda found: f"{found[1]}{found[2]}@{digests[found[2]]}", text)


def pin(root: Path, digest: Callable[[str], str]) -> list[str]:
    """Write digests into the files below `root`; the references, as they are now.

    Raises:
        PinError: one of them cannot be had; nothing is written.
    """
    texts = {name: (root / name).read_text() for name in FILES}
    digests = {image: digest(image) for text in texts.values() for image in references(text)}
    for name, text in texts.items():
        (root / name).write_text(pinned(text, digests))
    return [f"{image}@{found}" for image, found in digests.items()]


def pulled_digest(image: str) -> str:
    """The digest under which the registry has `image` now.

    Raises:
        PinError: it cannot be pulled.
    """
    try:
        _docker("pull", "--quiet", image)
        digests = _docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', image).split()
    except FileNotFoundError:
        raise PinError("there is no `docker` on PATH") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PinError(f"{image} cannot be pulled: {reason}") from None
    name = image.rpartition(":")[0]
    for found in digests:
        if found.rpartition("@")[0] == name:
            return found.rpartition("@")[2]
    raise PinError(f"{image} has no digest of a registry")


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout


if __name__ == "__main__":
    try:
        sys.stdout.writelines(f"pin: {line}\n" for line in pin(ROOT, pulled_digest))
    except PinError as error:
        sys.exit(f"pin: {error}; nothing was changed")
