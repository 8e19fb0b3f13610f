"""Fixtures of the tests on a real Docker engine: the built images, containers, Compose and a registry."""

import fcntl
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from containers import build

from bookinfo_testing import docker, network

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv/containers/bin"

RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp", "--user=12345")
"""The options of a strict platform, with a uid that the image does not define."""


TAG_VARIABLE = "BOOKINFO_TEST_TAG"
"""The environment variable with the tag of the images of this test run. Worker processes inherit it."""


def pytest_configure() -> None:
    """Choose the tag of the images of this test run."""
    os.environ.setdefault(TAG_VARIABLE, f"test-{uuid.uuid4().hex[:8]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the images of this test run after the last worker process has finished."""
    if hasattr(session.config, "workerinput") or shutil.which("docker") is None:
        return
    built = Images(os.environ[TAG_VARIABLE])
    existing = run("docker", "images", "--quiet", "--filter", f"reference=*:{built.tag}", check=False)
    if existing:
        run("docker", "rmi", "--force", *map(built.reference, built.names), check=False)


def run(*command: str | Path, environ: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Return the output of a command. If `check` is true, a failed command fails the test with its output."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(environ or {})}, capture_output=True, text=True, timeout=900
    )
    assert not check or done.returncode == 0, (
        f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    return done.stdout.strip()


def get(url: str) -> tuple[int, str]:
    """Return the status and the body of a response, or 0 and the error if no server responds."""
    try:
        response = network.get(url)
    except OSError as error:
        return 0, str(error)
    return response.status, response.text


def inspect(name: str) -> Any:
    """Return the engine's description of an image or a container."""
    return json.loads(run("docker", "inspect", name))[0]


def published(container: str, port: int) -> str:
    """Return the base URL of a published port of a container."""
    return f"http://{run('docker', 'port', container, str(port)).splitlines()[0]}"


@dataclass
class Images:
    """The images of the project, with a tag that only this test run uses."""

    tag: str

    @property
    def environ(self) -> dict[str, str]:
        """The environment that selects these images for make and Compose."""
        return {"REGISTRY": "", "TAG": self.tag}

    @property
    def names(self) -> list[str]:
        """The names of all images in docker-bake.json."""
        return list(build.read((ROOT / "docker-bake.json").read_text(), {}))

    def reference(self, name: str) -> str:
        """Return the name and tag of an image."""
        return f"{name}:{self.tag}"


@dataclass
class Compose:
    """A Compose project of docker-compose.yaml."""

    command: tuple[str, ...]
    project: str
    environ: dict[str, str]
    profiles: tuple[str, ...] = ()
    files: list[Path] = field(default_factory=lambda: [ROOT / "docker-compose.yaml"])

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run `docker compose ARGUMENTS` and return its output."""
        return run(*self._command_line(arguments), environ=self.environ, check=check)

    @contextmanager
    def background(self, *arguments: str) -> Iterator[None]:
        """Run `docker compose ARGUMENTS` while the block runs, and delete the project afterwards."""
        environ = {**os.environ, **self.environ}
        with subprocess.Popen(
            self._command_line(arguments), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield
            finally:
                process.terminate()
                process.wait(timeout=60)
                self("down", "--volumes", "--timeout", "10", check=False)

    def _command_line(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        files = [part for file in self.files for part in ("--file", str(file))]
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        return (*self.command, "--project-name", self.project, *files, *profiles, *arguments)

    def container(self, service: str, index: int = 1) -> str:
        """Return the name of a container of a service."""
        return f"{self.project}-{service}-{index}"

    @property
    def url(self) -> str:
        """The base URL of the gateway."""
        return published(self.container("gateway"), 8080)


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip the test unless a Docker engine runs."""
    docker.require_engine()


@pytest.fixture(scope="session")
def images(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """All images of the project. The processes of a test run share them, and the first that needs them builds them."""
    shared = Images(os.environ[TAG_VARIABLE])
    with (tmp_path_factory.getbasetemp().parent / f"{shared.tag}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            run("python3", "-m", "containers.build", environ=shared.environ)
            lock.write("built")
    return shared


@pytest.fixture(scope="session")
def compose_command() -> tuple[str, ...]:
    """The command of Compose v2: Docker's plugin, or the same program from PyPI."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ("docker", "compose")
    if (TOOLS / "docker-compose").exists():
        return (str(TOOLS / "docker-compose"),)
    pytest.skip("Docker Compose v2 not found: install its plugin, or run `make containers`")


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., str]]:
    """Start a container with arguments of `docker run` and return its id. All containers are removed at the end."""
    started: list[str] = []

    def container(*arguments: str) -> str:
        started.append(run("docker", "run", "--detach", *arguments))
        return started[-1]

    yield container
    if started:
        run("docker", "rm", "--force", "--volumes", *started, check=False)


@pytest.fixture(scope="session")
def registry(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address (`host:port`) of a real registry."""
    with docker.run_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address
