"""Prints commit and digest of an image from what `docker buildx imagetools inspect --format '{{json .}}'` says of it.

Reads it from standard input, and prints nothing if there is nothing. The commit is that of the label
org.opencontainers.image.revision.
"""

import json
import sys


def described(text: str) -> str:
    """`COMMIT DIGEST` of an inspected image or list of images; all of a list are of one commit."""
    found = json.loads(text)
    image = found["image"]
    config = (image if "config" in image else next(iter(image.values())))["config"]
    return (
        f"{config.get('Labels', {}).get('org.opencontainers.image.revision', 'unknown')} {found['manifest']['digest']}"
    )


if __name__ == "__main__":
    inspected = sys.stdin.read()
    if inspected.strip():
        sys.stdout.write(described(inspected) + "\n")
