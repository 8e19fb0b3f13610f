"""Runs the Jenkinsfile in a copy of this checkout with groovy/Harness.groovy, and tells what happened."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GROOVY = ROOT / ".venv/groovy/node_modules/npm-groovy-lint/lib/java/groovy/lib"
HARNESS = Path(__file__).parent / "groovy/Harness.groovy"

Json = dict[str, Any]


def unpack(folder: Path) -> None:
    """A checkout of its own in `folder`: what this one holds, committed, with its environments behind links."""
    tracked_or_new = ("--cached", "--others", "--exclude-standard")
    for name in filter(None, git(ROOT, "ls-files", "-z", *tracked_or_new).split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The checkout under test")
    lend(ROOT / ".venv", folder / ".venv")
    (folder / ".mypy_cache").mkdir()
    for cache in (ROOT / ".mypy_cache").glob("*"):
        (folder / ".mypy_cache" / cache.name).symlink_to(cache)


def lend(environment: Path, target: Path) -> None:
    """This checkout's environment, with stamps of its own that are newer than anything: make must never install there,
    since it would point this checkout's packages at the copy."""
    target.mkdir()
    for entry in environment.iterdir():
        if entry.suffix == ".stamp":
            (target / entry.name).touch()
        else:
            (target / entry.name).symlink_to(entry)


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env={**os.environ, **dates},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Build:
    """A build that ended."""

    code: int
    log: str
    events: list[Json]
    record: Path

    @property
    def result(self) -> str:
        """SUCCESS, UNSTABLE, FAILURE or ABORTED."""
        return str(self.events[-1]["result"])

    @property
    def steps(self) -> list[str]:
        """The scripts that ran, in the order in which they ended."""
        return [event["script"] for event in self.events if event["event"] == "sh"]

    def stages(self, status: str) -> list[str]:
        """The names of the stages that came to `status`."""
        return [event["name"] for event in self.events if event["event"] == "stage" and event["status"] == status]

    def lines(self, start: str) -> list[str]:
        """The lines of the log that begin so, after the stage's name."""
        texts = [line.partition("] ")[2] for line in self.log.splitlines()]
        return [text for text in texts if text.startswith(start)]

    def published(self, pattern: str) -> list[str]:
        """The names of the files that Jenkins would keep."""
        return sorted(path.name for path in (self.record / "published").glob(pattern))


@dataclass
class Jenkins:
    """Runs builds, each in a checkout of its own."""

    folder: Path
    environ: dict[str, str]
    """What every build finds in its environment."""
    credentials: dict[str, Json] = field(default_factory=dict)
    checkouts: int = 0
    builds: int = 0

    def checkout(self, change: str = "") -> Path:
        """A checkout for the next build: always of the same commit, or with `change` of another one."""
        if not (self.folder / "checkout").exists():
            unpack(self.folder / "checkout")
        self.checkouts += 1
        workspace = self.folder / f"workspace-{self.checkouts}"
        shutil.copytree(self.folder / "checkout", workspace, symlinks=True)
        if change:
            git(workspace, "commit", "--quiet", "--allow-empty", "--message", change)
        return workspace

    def build(
        self,
        workspace: Path,
        params: Mapping[str, Any] | None = None,
        *,
        start_at: str | None = None,
        abort: Path | None = None,
        limits: Mapping[str, int] | None = None,
        timeout: float = 300,
        **environ: str,
    ) -> Build:
        """Run the Jenkinsfile there, from a stage on if one is named; the environment is that of main unless it says
        otherwise. `limits` are in seconds, for stages that shall not have their own."""
        self.builds += 1
        record = self.folder / f"record-{self.builds}"
        record.mkdir(parents=True)
        given = {
            "workspace": str(workspace),
            "record": str(record),
            "params": dict(params or {}),
            "env": {"BRANCH_NAME": "main", "BUILD_NUMBER": str(self.builds), **self.environ, **environ},
            "credentials": self.credentials,
            "startAt": start_at,
            "abort": str(abort) if abort else None,
            "limits": dict(limits or {}),
        }
        (record / "run.json").write_text(json.dumps(given))
        return run(workspace / "Jenkinsfile", record, timeout)


def run(jenkinsfile: Path, record: Path, timeout: float = 60) -> Build:
    """What becomes of a Jenkinsfile with `record`/run.json."""
    (build,) = run_all({record: jenkinsfile}, timeout)
    return build


def run_all(jenkinsfiles: Mapping[Path, Path], timeout: float = 60) -> list[Build]:
    """The same of several, by their records, one after the other in one JVM; code and log are those of all together."""
    pairs = [(jenkinsfile, record / "run.json") for record, jenkinsfile in jenkinsfiles.items()]
    done = groovy("Harness", *(path for pair in pairs for path in pair), timeout=timeout)
    builds = []
    for record in jenkinsfiles:
        (record / "log").write_text(done.stdout + done.stderr)
        events = record / "events.jsonl"
        lines = events.read_text().splitlines() if events.exists() else []
        builds.append(Build(done.returncode, done.stdout + done.stderr, [json.loads(line) for line in lines], record))
    return builds


def groovy(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run Groovy's own command line, or with a class of the compiled harness that."""
    classes = f"{compiled()}:{GROOVY}/*"
    # The compiler of the JVM that starts fast is the better one for a program that mostly waits.
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes, *map(str, arguments)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


@functools.cache
def compiled() -> Path:
    """The harness' classes, compiled anew when it changed."""
    text = HARNESS.read_bytes()
    folder = ROOT / f".venv/groovy/harness-{hashlib.sha256(text).hexdigest()[:12]}"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        compiler = ["java", "-cp", f"{GROOVY}/*", "org.codehaus.groovy.tools.FileSystemCompiler", "-d", str(partial)]
        subprocess.run([*compiler, str(HARNESS)], check=True, timeout=120)
        with contextlib.suppress(OSError):  # tests in another process may have been first
            partial.replace(folder)
    return folder
