"""Print commit and digest of an image, from the output of `docker buildx imagetools inspect --format '{{json .}}'`.

The script reads that output from standard input. It prints nothing if the input is empty. The commit is the label
org.opencontainers.image.revision.
"""

import json
import sys


def commit_and_digest(text: str) -> str:
    """Return `COMMIT DIGEST` of an inspected image or list of images. All images of a list are of one commit."""
    found = json.loads(text)
    image = found["image"]
    config = (image if "config" in image else next(iter(image.values())))["config"]
    return (
        f"{config.get('Labels', {}).get('org.opencontainers.image.revision', 'unknown')} {found['manifest']['digest']}"
    )


if __name__ == "__main__":
    inspected = sys.stdin.read()
    if inspected.strip():
        sys.stdout.write(commit_and_digest(inspected) + "\n")
