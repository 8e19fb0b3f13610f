"""A real Docker engine and a real image registry."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bookinfo_testing.network import free_port, get
from bookinfo_testing.polling import eventually
from bookinfo_testing.processes import running


def require_engine() -> None:
    """Skip the test if no Docker engine responds."""
    if shutil.which("docker") is None:
        pytest.skip("no `docker` on PATH; install Docker")
    result = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode:
        pytest.skip(f"no Docker engine responds: {result.stderr.strip().splitlines()[-1]}")


@contextmanager
def run_registry(directory: Path, htpasswd: str | None = None) -> Iterator[str]:
    """Run a registry with its files in `directory` and yield its address, `host:port`.

    With `htpasswd`, a line of the form `user:bcrypt`, it requires that user's password. Skip the test if the program is
    missing.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no `docker-registry` on PATH; install Debian's package docker-registry")
    address = f"127.0.0.1:{free_port()}"
    config: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": address},
    }
    if htpasswd:
        (directory / "users").write_text(f"{htpasswd}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "users")}}
    (directory / "config.yml").write_text(json.dumps(config))

    def responds() -> bool:
        try:
            return get(f"http://{address}/v2/").status == (401 if htpasswd else 200)
        except OSError:
            return False

    with running([program, "serve", directory / "config.yml"], directory / "log"):
        eventually(responds)
        yield address
