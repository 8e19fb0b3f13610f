"""A real Docker engine where there is one, this project's images built on it, and compose."""

import json
import os
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
"""How strict a platform may run a container, under a uid that the image has never heard of."""


def run(*command: str | Path, environ: Mapping[str, str] | None = None, check: bool = True) -> str:
    """What a command prints. With `check` a failing one fails the test with its own words."""
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
    """What the engine knows of an image or a container."""
    return json.loads(run("docker", "inspect", name))[0]


def published(container: str, port: int) -> str:
    """The base URL under which a container's port is reached from here."""
    return f"http://{run('docker', 'port', container, str(port)).splitlines()[0]}"


@dataclass
class Images:
    """The project's images, under a tag that is of this test run alone."""

    tag: str

    @property
    def environ(self) -> dict[str, str]:
        """What names them to make and to compose."""
        return {"REGISTRY": "", "TAG": self.tag}

    @property
    def names(self) -> list[str]:
        """All of docker-bake.json."""
        return list(build.read((ROOT / "docker-bake.json").read_text(), {}))

    def reference(self, name: str) -> str:
        """One of them, as `docker run` takes it."""
        return f"{name}:{self.tag}"


@dataclass
class Compose:
    """docker-compose.yaml as a project of its own, on ports that are free."""

    command: tuple[str, ...]
    project: str
    environ: dict[str, str]
    profiles: tuple[str, ...] = ()
    files: list[Path] = field(default_factory=lambda: [ROOT / "docker-compose.yaml"])

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What `docker compose ARGUMENTS` prints."""
        return run(*self._whole(arguments), environ=self.environ, check=check)

    @contextmanager
    def background(self, *arguments: str) -> Iterator[None]:
        """`docker compose ARGUMENTS` for as long as the block runs; then all of the project goes."""
        environ = {**os.environ, **self.environ}
        with subprocess.Popen(
            self._whole(arguments), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield
            finally:
                process.terminate()
                process.wait(timeout=60)
                self("down", "--volumes", "--timeout", "10", check=False)

    def _whole(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        files = [part for file in self.files for part in ("--file", str(file))]
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        return (*self.command, "--project-name", self.project, *files, *profiles, *arguments)

    def container(self, service: str, index: int = 1) -> str:
        """The name of a service's container."""
        return f"{self.project}-{service}-{index}"

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return published(self.container("gateway"), 8080)


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers, or no test of those that need one."""
    docker.require_engine()


@pytest.fixture(scope="session")
def images(engine: None) -> Iterator[Images]:
    """Every image, built."""
    built = Images(f"test-{uuid.uuid4().hex[:8]}")
    run("python3", "-m", "containers.build", environ=built.environ)
    yield built
    run("docker", "rmi", "--force", *map(built.reference, built.names), check=False)


@pytest.fixture(scope="session")
def compose_command() -> tuple[str, ...]:
    """Compose v2: Docker's plugin, or the same program from PyPI."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ("docker", "compose")
    if (TOOLS / "docker-compose").exists():
        return (str(TOOLS / "docker-compose"),)
    pytest.skip("there is no Docker Compose v2: install its plugin, or run `make containers`")


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., str]]:
    """Starts a container by `docker run` arguments and gives its id; all are gone at the end."""
    started: list[str] = []

    def container(*arguments: str) -> str:
        started.append(run("docker", "run", "--detach", *arguments))
        return started[-1]

    yield container
    if started:
        run("docker", "rm", "--force", "--volumes", *started, check=False)


@pytest.fixture(scope="session")
def registry(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry, as `host:port`."""
    with docker.run_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address
