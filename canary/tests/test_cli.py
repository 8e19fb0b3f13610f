"""The command: what it refuses, and by which status it ends."""

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
from canary.tests.test_targets import KEY, Cluster

from bookinfo_canary.cli import main
from bookinfo_canary.plan import Service
from bookinfo_canary.routes import VirtualService
from bookinfo_canary.signals import Signals

COMMAND = (sys.executable, "-m", "bookinfo_canary")
ASKED = ("--service", "reviews", "--stable", "v1", "--namespace", "shop")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """With a `kubectl` on PATH that changes it."""
    cluster = Cluster(tmp_path / "cluster.json")
    stand_in = Path(__file__).with_name("kubectl_stand_in.py")
    program = tmp_path / "bin/kubectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "{cluster.path}" "$@"\n')
    program.chmod(0o755)
    return cluster


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def canary(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command, in this process: without its signals and its pauses."""
    monkeypatch.setenv("PATH", f"{cluster.path.parent / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("listen", "ignore", "sleep"):
        monkeypatch.setattr(Signals, name, lambda *_: None)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["bookinfo-canary", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return run


def test_a_rollback_gives_every_request_to_the_stable_version(cluster: Cluster, canary) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 90, "v2": 10})
    line = "rolled back: v1 has every request of reviews, because that was asked for\n"
    assert canary("rollback", *ASKED) == Done(0, line, "")
    assert cluster.weights == {"v1": 100}


def test_a_rollback_makes_the_route_that_a_new_version_needs_before_it_comes(cluster: Cluster, canary) -> None:
    assert KEY not in cluster.read()["objects"]
    assert json.loads(canary("rollback", *ASKED, "--json").out)["event"] == "rolled back"
    assert cluster.weights == {"v1": 100}


def test_what_cannot_be_rolled_back_ends_with_3_and_says_so_loudly(cluster: Cluster, canary) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 90, "v2": 10})
    cluster.change(refuses=True)
    done = canary("rollback", *ASKED)
    assert done.status == 3
    assert done.err.startswith("bookinfo-canary: NOT ROLLED BACK, the new version may still get requests: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--canary", "v1", "--prometheus", "http://127.0.0.1:1"), "--stable and --canary are both v1"),
        (("--canary", "v2"), "the gate needs metrics: name a --prometheus"),
        (("--canary", "v2", "--prometheus", "http://a", "--metrics", "http://b"), "name one of them"),
        (("--canary", "v2", "--prometheus", "http://127.0.0.1:1"), "the metrics cannot be read"),
        (("--canary", "v9", "--prometheus", "http://127.0.0.1:1"), "no DestinationRule has reviews's subset v9"),
        (("--canary", 'v"2', "--prometheus", "http://127.0.0.1:1"), '--canary v"2: use 1 to 63 of'),
        (("--canary", "v2", "--window", "60", "--prometheus", "http://127.0.0.1:1"), "--window 60: write a time"),
        (("--canary", "v2", "--steps", "ten", "--prometheus", "http://127.0.0.1:1"), "--steps ten: write percent"),
        (("--canary", "v2", "--lab", "x", "--prometheus", "http://127.0.0.1:1"), "--lab goes with --target lab"),
        (("--canary", "v2", "--target", "lab", "--context", "x"), "go with --target kubectl"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_and_changes_nothing(
    cluster: Cluster, canary, arguments: tuple[str, ...], message: str
) -> None:
    done = canary("run", *ASKED, *arguments)
    assert done.status == 2
    assert done.err.startswith("bookinfo-canary: nothing was changed: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert cluster.read()["history"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_restores_the_stable_route_before_the_program_ends(
    cluster: Cluster, tmp_path: Path, number: signal.Signals
) -> None:
    """Here with metrics that never move, from a real server."""
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
            command = [*COMMAND, "run", *ASKED, "--canary", "v2", "--metrics", url]
            with subprocess.Popen(
                command, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True
            ) as running:
                assert running.stdout
                for told in running.stdout:
                    if told == "reviews: v1 90 %, v2 10 %\n":
                        break
                running.send_signal(number)
                time.sleep(0.05)
                running.send_signal(number)  # an impatient second one
                last = running.stdout.read()
                assert running.wait(30) == 1
        finally:
            server.kill()
    assert last == (f"rolled back: v1 has every request of reviews, because it was stopped by {number.name}\n")
    history = cluster.read()["history"]
    assert [VirtualService().weights(Service("reviews", "shop"), {"spec": spec}) for spec in history] == [
        {"v1": 90, "v2": 10},
        {"v1": 100},
    ]
