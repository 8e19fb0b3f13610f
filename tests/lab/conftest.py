"""Real labs: each test module's own, with real Envoys, in a state directory of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import envoy

BOOKINFO = (sys.executable, "-m", "bookinfo_lab")


@dataclass(frozen=True)
class Page:
    """An answer."""

    status: int
    text: str
    headers: dict[str, str]


def get(url: str, headers: dict[str, str] | None = None) -> Page:
    """GET, also of error answers. Proxies of the environment are not used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=30) as answer:
            return Page(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.read().decode(), dict(error.headers))


def eventually(condition: Callable[[], Any], within: float = 30.0) -> Any:
    """The first true value of `condition`, polled."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Bookinfo:
    """The `bookinfo` command on a state directory of its own, for one lab."""

    state: Path
    lab: str
    before: tuple[str, ...] = ()  # a command that runs it, e.g. as another user

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.state), "BOOKINFO_LAB": self.lab}

    def __call__(self, *arguments: str, stdin: str = "", ok: bool = True, errors: bool = False) -> str:
        """What the command prints; with `ok` false, what a failing one says; with `errors`, what it says beside it."""
        result = subprocess.run(
            [*self.before, *BOOKINFO, *arguments],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (result.returncode == 0) == ok, (result.returncode, result.stdout, result.stderr)
        return result.stdout if ok and not errors else result.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that runs on."""
        return subprocess.Popen(
            [*self.before, *BOOKINFO, *arguments], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def status(self) -> Any:
        return json.loads(self("status", "--json"))

    def is_ready(self) -> bool:
        result = subprocess.run(
            [*self.before, *BOOKINFO, "status", "--json"], env=self.env, capture_output=True, text=True, check=False
        )
        return result.returncode == 0 and json.loads(result.stdout)["state"] == "ready"

    @property
    def url(self) -> str:
        """The gateway, without a path."""
        url: str = self.status()["url"]
        return url.removesuffix("/productpage")

    def workload(self, deployment: str) -> Any:
        return next(row for row in self.status()["workloads"] if row["deployment"] == deployment)

    def versions(self, pages: int) -> dict[str, int]:
        """How often each version of reviews wrote the page, of pages that must all be complete."""
        url = f"{self.url}/productpage"
        counts: dict[str, int] = {}
        for _ in range(pages):
            page = get(url)
            assert page.status == 200
            (version,) = set(re.findall(r"reviews-(v\d)-[0-9a-f]{10}-", page.text))
            counts[version] = counts.get(version, 0) + 1
        return counts

    def processes(self) -> list[int]:
        """All processes that run in this state directory."""
        return processes_in(self.state)


def processes_in(folder: Path) -> list[int]:
    """The processes whose working directory is below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder) and "zombie" not in (entry / "status").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="session", autouse=True)
def _needs_envoy() -> None:
    try:
        envoy.find(os.environ)
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def new_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bookinfo]]:
    """Makes labs, not yet started; whatever runs of them at the end is stopped."""
    made: list[Bookinfo] = []

    def make(lab: str = "default", state: Path | None = None, before: Sequence[str] = ()) -> Bookinfo:
        made.append(Bookinfo(state or tmp_path_factory.mktemp("state"), lab, tuple(before)))
        return made[-1]

    yield make
    for bookinfo in made:
        if bookinfo.processes():  # whether it can still be asked or not
            subprocess.run([*bookinfo.before, *BOOKINFO, "down"], env=bookinfo.env, capture_output=True, check=False)
    for pid in [pid for bookinfo in made for pid in bookinfo.processes()]:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def bookinfo(new_lab: Callable[..., Bookinfo]) -> Bookinfo:
    """A running lab, shared by the tests of a module."""
    lab = new_lab()
    lab("up", "--detach", "--gateway-port=0")
    return lab
