"""Writes a CycloneDX SBOM of each built image into build/sbom: Debian's packages and Python's, as they are in it.

The images are the engine's; where there is none, ARCHIVES names the folder with an archive of each, as BuildKit writes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from containers.build import FILE, ROOT, Image, chosen, read

FOLDER = ROOT / "build/sbom"


def main(names: list[str]) -> None:
    """Look into the images of `names`, or all. Ends with one line for the first that cannot be looked into."""
    syft = shutil.which("syft", path=Path(sys.executable).parent)
    if syft is None:
        sys.exit("sbom: there is no syft beside this Python: run it by `make sbom`")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for image in chosen(read(FILE.read_text(), os.environ), names):
        file = FOLDER / f"{image.name}.cdx.json"
        command = [syft, "scan", _source(image), "--quiet", "--output", f"cyclonedx-json={file}"]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)  # noqa: S603 - the locked tool
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            sys.exit(f"sbom: {image.tag}: {reason}; are the images built (`make images`)?")
        sys.stdout.write(f"sbom: {file.relative_to(ROOT)}\n")


def _source(image: Image) -> str:
    """Where syft finds an image."""
    archives = os.environ.get("ARCHIVES")
    return f"docker-archive:{archives}/{image.name}.tar" if archives else f"docker:{image.tag}"


if __name__ == "__main__":
    main(sys.argv[1:])
