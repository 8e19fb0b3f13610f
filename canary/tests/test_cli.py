"""The `bookinfo-canary` command: its errors and exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from canary.tests.fake_cluster import Cluster

from bookinfo_canary.cli import main
from bookinfo_canary.release_plan import Service
from bookinfo_canary.routes import VirtualService
from bookinfo_canary.stop_signals import StopSignals

COMMAND = (sys.executable, "-m", "bookinfo_canary")
OPTIONS = ("--service", "reviews", "--stable", "v1", "--namespace", "shop")


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a command."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def canary(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run the command in this process, without signal handlers and pauses."""
    monkeypatch.setenv("PATH", f"{cluster.program.parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("install", "ignore", "sleep"):
        monkeypatch.setattr(StopSignals, name, lambda *_: None)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["bookinfo-canary", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        assert isinstance(exited.value.code, int)
        return Result(exited.value.code, *capsys.readouterr())

    return run


def test_rollback_routes_every_request_to_the_stable_version(cluster: Cluster, canary) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 90, "v2": 10})
    line = "rolled back: v1 receives every request to reviews, because a rollback was requested\n"
    assert canary("rollback", *OPTIONS) == Result(0, line, "")
    assert cluster.weights == {"v1": 100}


def test_rollback_creates_a_missing_route(cluster: Cluster, canary) -> None:
    assert cluster.server.objects_of("VirtualService") == {}
    assert json.loads(canary("rollback", *OPTIONS, "--json").stdout)["event"] == "rolled back"
    assert cluster.weights == {"v1": 100}


def test_failed_rollback_exits_with_3(cluster: Cluster, canary) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 90, "v2": 10})
    cluster.server.forbids_changes = True
    result = canary("rollback", *OPTIONS)
    assert result.exit_code == 3
    assert result.stderr.startswith("bookinfo-canary: ROLLBACK FAILED, the new version may still receive requests: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--canary", "v1", "--prometheus", "http://127.0.0.1:1"), "--stable and --canary are both v1"),
        (("--canary", "v2"), "missing option --prometheus: the gate needs metrics"),
        (("--canary", "v2", "--prometheus", "http://a", "--metrics", "http://b"), "exclude each other"),
        (("--canary", "v2", "--prometheus", "http://127.0.0.1:1"), "cannot read the metrics"),
        (
            ("--canary", "v9", "--prometheus", "http://127.0.0.1:1"),
            "no DestinationRule defines the subset v9 of reviews",
        ),
        (("--canary", 'v"2', "--prometheus", "http://127.0.0.1:1"), "--canary: invalid name 'v\"2'; use 1 to 63 of"),
        (
            ("--canary", "v2", "--window", "60", "--prometheus", "http://127.0.0.1:1"),
            "--window: invalid duration '60'; use one",
        ),
        (
            ("--canary", "v2", "--steps", "ten", "--prometheus", "http://127.0.0.1:1"),
            "--steps: invalid percentages 'ten'",
        ),
        (("--canary", "v2", "--lab", "x", "--prometheus", "http://127.0.0.1:1"), "--lab requires --target lab"),
        (("--canary", "v2", "--target", "lab", "--context", "x"), "require --target kubectl"),
    ],
)
def test_error_is_one_line_and_changes_nothing(
    cluster: Cluster, canary, arguments: tuple[str, ...], message: str
) -> None:
    result = canary("run", *OPTIONS, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("bookinfo-canary: nothing was changed: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert cluster.server.applied == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signal_restores_the_stable_route(cluster: Cluster, tmp_path: Path, number: signal.Signals) -> None:
    """The metrics come from a real server and never change."""
    (tmp_path / "metrics").write_text("")
    serve = "import http.server as h, sys; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler); "
    serve += "print(s.server_port, flush=True); s.serve_forever()"
    with subprocess.Popen(
        [sys.executable, "-c", serve], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/metrics"
            path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
            command = [*COMMAND, "run", *OPTIONS, "--canary", "v2", "--metrics", url]
            with subprocess.Popen(
                command, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True
            ) as running:
                assert running.stdout
                for line in running.stdout:
                    if line == "reviews: v1 90 %, v2 10 %\n":
                        break
                running.send_signal(number)
                time.sleep(0.05)
                running.send_signal(number)  # A second signal must not interrupt the rollback.
                last = running.stdout.read()
                assert running.wait(30) == 1
        finally:
            server.kill()
    assert last == (f"rolled back: v1 receives every request to reviews, because it was stopped by {number.name}\n")
    applied = cluster.server.applied
    assert [VirtualService().weights(Service("reviews", "shop"), body) for body in applied] == [
        {"v1": 90, "v2": 10},
        {"v1": 100},
    ]
