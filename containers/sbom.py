"""Write a CycloneDX SBOM of each built image, with its Debian and Python packages, into build/sbom.

The images come from the engine. If ARCHIVES is set, they come from that directory, which contains an archive of each
image as BuildKit writes it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from containers.build import FILE, ROOT, Image, read, select

DIRECTORY = ROOT / "build/sbom"


def main(names: list[str]) -> None:
    """Write the SBOMs of the images with these names, or of all. Exit at the first failure."""
    syft = shutil.which("syft", path=Path(sys.executable).parent)
    if syft is None:
        sys.exit(f"sbom: syft not found in {Path(sys.executable).parent}: run `make sbom`, which installs it")
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for image in select(read(FILE.read_text(), os.environ), names):
        file = DIRECTORY / f"{image.name}.cdx.json"
        command = [syft, "scan", _source(image), "--quiet", "--output", f"cyclonedx-json={file}"]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)  # noqa: S603 - the locked tool
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            sys.exit(f"sbom: {image.tag}: {reason}; build the images first (`make images`)")
        sys.stdout.write(f"sbom: wrote {file.relative_to(ROOT)}\n")


def _source(image: Image) -> str:
    """Return the location of an image in the notation of syft."""
    archives = os.environ.get("ARCHIVES")
    return f"docker-archive:{archives}/{image.name}.tar" if archives else f"docker:{image.tag}"


if __name__ == "__main__":
    main(sys.argv[1:])
