"""Envoys that misbehave: the lab goes on, or says why it cannot."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bookinfo_lab.runtime import envoy

from .conftest import Bookinfo

REPOSITORY = Path(__file__).parents[2]
BAD_REGEX = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
    - match: [{uri: {regex: "/details/(0"}}]
      route: [{destination: {host: details}}]
"""
COMPLAINT = "[2026-11-22 10:00:00.000][7][critical][assert] [source/x.cc:1] assert failure: no more instances"
BACKTRACE = "[2026-11-22 10:00:00.000][7][critical][backtrace] [./source/server/backtrace.h:2] Caught Aborted"


def envoy_behind(script: str, folder: Path) -> str:
    """A program that runs `script` (sh), and then becomes the real Envoy unless the script has ended."""
    program = folder / "envoy"
    program.write_text(f'#!/bin/sh\n{script}\nexec {envoy.find(os.environ)} "$@"\n')
    program.chmod(0o755)
    return str(program)


def crash(when: str, proxy: str = "istio-ingressgateway") -> str:
    """A script in which the Envoy of `proxy` (a pattern) aborts as Envoy does, if `when` (sh) holds."""
    abort = f"printf '%s\\n' '{COMPLAINT}' '{BACKTRACE}' '#0: [0x1]'; kill -ABRT $$"
    return f"case $PWD in */{proxy}) if {when}; then {abort}; fi;; esac"


@pytest.fixture
def troubled(
    new_lab: Callable[..., Bookinfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Bookinfo]:
    """`troubled(script)`: a lab, not yet started, whose Envoys run `script` first."""

    def make(script: str) -> Bookinfo:
        monkeypatch.setenv("BOOKINFO_ENVOY", envoy_behind(script, tmp_path))
        return new_lab()

    return make


def test_an_envoy_that_dies_once_while_it_starts_is_started_again(
    troubled: Callable[..., Bookinfo], tmp_path: Path
) -> None:
    lab = troubled(crash(f"mkdir {tmp_path}/crashed 2>/dev/null"))
    lab("up", "--detach", "--gateway-port=0")
    assert lab.versions(3)
    log = (lab.state / "bookinfo/default/supervisor.log").read_text()
    assert "istio-ingressgateway's Envoy was killed by signal 6 (Aborted); it is started again in 0.5 s\n" in log
    lab("down")


def test_an_envoy_that_dies_again_and_again_ends_up_with_its_reason(
    troubled: Callable[..., Bookinfo],
) -> None:
    lab = troubled(crash("true"))
    said = lab("up", "--detach", "--gateway-port=0", ok=False)
    assert said.count("bookinfo: ") == 1
    assert said.splitlines()[-1] == (
        "bookinfo: istio-ingressgateway's Envoy crashed 3 times while it started: it was killed by signal 6 (Aborted): "
        "[critical][assert] [source/x.cc:1] assert failure: no more instances; see its log with `bookinfo logs`"
    )
    assert lab.processes() == []
    assert "no more instances" in lab("logs", "--sidecar", "istio-ingressgateway")


def test_a_pod_that_does_not_start_is_told_and_not_waited_for(troubled: Callable[..., Bookinfo]) -> None:
    lab = troubled(crash("true", "reviews-v3-*"))
    began = time.monotonic()
    said = lab("up", "--detach", "--gateway-port=0", errors=True)
    assert time.monotonic() - began < 25
    (told,) = [line for line in said.splitlines() if line.startswith("not waited for: reviews-v3-")]
    assert "'s Envoy, which was killed by signal 6 (Aborted): [critical][assert]" in told
    assert lab.versions(20).keys() == {"v1", "v2"}
    lab("down")


def test_what_a_running_envoy_refuses_is_undone_and_told_with_its_place(troubled: Callable[..., Bookinfo]) -> None:
    """Envoy's judgement beforehand is switched off, so that it is a running one that refuses."""
    lab = troubled('case " $* " in *" validate "*) exit 0;; esac')
    lab("up", "--detach", "--gateway-port=0")
    before = lab("get", "-o", "yaml")
    split = (REPOSITORY / "istio/canary/reviews-v2-v3.yaml").read_text()

    said = lab("apply", "-f", "-", stdin=f"{split}---{BAD_REGEX}", ok=False)

    assert ", spec.http[0].match[0].uri.regex: rejected by Envoy: missing ): /details/(0; correct it: " in said
    assert "the change was rolled back because the Envoy of " in said
    assert lab("get", "-o", "yaml") == before
    assert "/details/(0" not in lab("config", "productpage-v1")
    assert lab.versions(30).keys() == {"v1", "v2", "v3"}
    lab("apply", "-f", "-", stdin=split)
    assert lab.versions(30).keys() == {"v2", "v3"}
