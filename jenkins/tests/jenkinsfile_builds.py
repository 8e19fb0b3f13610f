"""Executes the Jenkinsfile in copies of this checkout, with JenkinsfileRunner.groovy."""

import json
import os
import select
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("JenkinsfileRunner.groovy")

Json = dict[str, Any]


def copy_checkout(target: Path) -> None:
    """Create a checkout with one commit, of everything in this one, and with links to its environments."""
    tracked_or_new = ("--cached", "--others", "--exclude-standard")
    for name in filter(None, git(ROOT, "ls-files", "-z", *tracked_or_new).split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_symlink() or source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    git(target, "init", "--quiet", "--initial-branch=main")
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--message", "The checkout under test")
    link_environment(ROOT / ".venv", target / ".venv")
    (target / ".mypy_cache").mkdir()
    for cache in (ROOT / ".mypy_cache").glob("*"):
        (target / ".mypy_cache" / cache.name).symlink_to(cache)


def link_environment(environment: Path, target: Path) -> None:
    """Link an environment, but with new stamps.

    make must not install into it from the copy, because that would point this checkout's packages to the copy.
    """
    target.mkdir()
    for entry in environment.iterdir():
        if entry.suffix == ".stamp":
            (target / entry.name).touch()
        else:
            (target / entry.name).symlink_to(entry)


def git(directory: Path, *arguments: str) -> str:
    """Return the output of a git command. Identity and date are fixed, so equal commits have equal hashes."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=directory,
        env={**os.environ, **dates},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Build:
    """A finished build."""

    events: list[Json]
    log: str
    record: Path
    """The directory with the request and with everything that Jenkins would store."""

    @property
    def result(self) -> str:
        """SUCCESS, UNSTABLE, FAILURE, ABORTED or INVALID."""
        return str(self.events[-1]["result"])

    def stages(self, status: str) -> list[str]:
        """Return the names of the stages that reached `status`."""
        return [event["name"] for event in self.events if event["event"] == "stage" and event["status"] == status]

    def lines(self, prefix: str) -> list[str]:
        """Return the lines of the log that start with `prefix`, without the name of the stage."""
        texts = [line.partition("] ")[2] for line in self.log.splitlines()]
        return [text for text in texts if text.startswith(prefix)]

    def published(self, pattern: str) -> list[str]:
        """Return the names of the stored files that match `pattern`."""
        return sorted(path.name for path in (self.record / "published").glob(pattern))


class JenkinsfileRunner:
    """One JVM that executes Jenkinsfiles, one after the other. A JVM for each would take two seconds longer."""

    def __init__(self) -> None:
        # Tiered compilation stops at the compiler that starts fast, because the runner mostly waits.
        options = {"JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
        self._process = subprocess.Popen(
            ["groovy", RUNNER], env={**os.environ, **options}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def run(self, jenkinsfile: Path, record: Path, request: Mapping[str, Any], timeout_seconds: float = 60) -> Build:
        """Execute a Jenkinsfile. `request` is described in JenkinsfileRunner.groovy; every member has a default."""
        workspace = record.parent / f"{record.name}-workspace"
        defaults = {"params": {}, "env": {}, "credentials": {}, "startAt": None, "abortFile": None}
        defaults |= {"stageTimeouts": {}, "graceSeconds": None, "workspace": str(workspace), "record": str(record)}
        request = {"jenkinsfile": str(jenkinsfile), **defaults, **request}
        record.mkdir(parents=True)
        Path(request["workspace"]).mkdir(exist_ok=True)
        (record / "request.json").write_text(json.dumps(request))
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{record / 'request.json'}\n".encode())
        readable, _, _ = select.select([self._process.stdout], [], [], timeout_seconds)
        log = record / "log.txt"
        if not readable:
            raise TimeoutError(f"{jenkinsfile} took more than {timeout_seconds} s: {log.read_text()[-2000:]}")
        if not self._process.stdout.readline():
            raise RuntimeError(f"JenkinsfileRunner.groovy exited with {self._process.wait()}")
        events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
        return Build(events, log.read_text() if log.exists() else "", record)

    def close(self) -> None:
        """Stop the JVM."""
        self._process.terminate()
        self._process.wait(timeout=30)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


@dataclass
class FakeJenkins:
    """Runs builds of the Jenkinsfile, each in its own checkout."""

    runner: JenkinsfileRunner
    directory: Path
    environ: dict[str, str]
    """The environment variables of every build."""
    credentials: dict[str, Json] = field(default_factory=dict)
    checkouts: int = 0
    builds: int = 0

    def checkout(self, commit_message: str = "") -> Path:
        """Create a checkout: always of the same commit, or with `commit_message` of another one."""
        if not (self.directory / "checkout").exists():
            copy_checkout(self.directory / "checkout")
        self.checkouts += 1
        workspace = self.directory / f"workspace-{self.checkouts}"
        shutil.copytree(self.directory / "checkout", workspace, symlinks=True)
        if commit_message:
            git(workspace, "commit", "--quiet", "--allow-empty", "--message", commit_message)
        return workspace

    def build(
        self,
        workspace: Path,
        params: Mapping[str, Any] | None = None,
        *,
        start_at: str | None = None,
        abort_file: Path | None = None,
        stage_timeouts: Mapping[str, int] | None = None,
        timeout_seconds: float = 300,
        **environ: str,
    ) -> Build:
        """Run the Jenkinsfile of a workspace, from the stage `start_at`.

        The environment is that of the branch main unless `environ` overrides it. `stage_timeouts` are in seconds, and
        replace the timeouts of stages.
        """
        self.builds += 1
        request = {
            "workspace": str(workspace),
            "params": dict(params or {}),
            "env": {"BRANCH_NAME": "main", "BUILD_NUMBER": str(self.builds), **self.environ, **environ},
            "credentials": self.credentials,
            "startAt": start_at,
            "abortFile": str(abort_file) if abort_file else None,
            "stageTimeouts": dict(stage_timeouts or {}),
        }
        record = self.directory / f"record-{self.builds}"
        return self.runner.run(workspace / "Jenkinsfile", record, request, timeout_seconds)
