"""The scripts of cluster/, run with stand-ins for the tools, which write down how they are called."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("docker", "kind", "kubectl", "helm", "istioctl", "make")

Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script; the calls of its tools, each in one line."""
    log = tmp_path / "calls"
    for tool in TOOLS:
        program = tmp_path / tool
        program.write_text(
            f'#!/bin/sh\ncase "$1" in --context=* | --kube-context=*) echo "$1" >> {log}.contexts; shift ;; esac\n'
            f'echo {tool} "$*" >> {log}\n[ "{tool} $*" = "kind get clusters --quiet" ] && echo "$CLUSTERS"\n'
            f'[ "{tool} $1" != "$FAILING" ]\n'
        )
        program.chmod(0o755)

    def ran(name: str, code: int = 0, **env: str) -> list[str]:
        env = {"CLUSTERS": "", "FAILING": "", **env, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        told = subprocess.run(
            [str(ROOT / "cluster" / name)], env=env, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert told.returncode == code, told.stderr
        return log.read_text().splitlines()

    return ran


def test_a_cluster_is_made_once(run: Run) -> None:
    assert any(call.startswith("kind create cluster --name bookinfo") for call in run("up"))


def test_a_cluster_that_is_there_stays(run: Run) -> None:
    calls = run("up", CLUSTERS="bookinfo")
    assert not any(call.startswith("kind create") for call in calls)
    images = [call.rpartition(" ")[2].partition(":")[0] for call in calls if call.startswith("kind load")]
    assert images == [
        f"bookinfo-{name}" for name in ("productpage", "details", "reviews", "ratings", "client", "books")
    ]


def releases(calls: list[str]) -> list[str]:
    return [call.split()[3] for call in calls if call.startswith("helm upgrade --install")]


def test_sidecars_come_with_the_cni_plugin_and_without_ztunnel(run: Run) -> None:
    calls = run("mesh")
    assert releases(calls) == ["istio-base", "istio-cni", "istiod", "istio-ingressgateway"]
    assert not any("profile=ambient" in call for call in calls)


def test_ambient_mode_comes_with_ztunnel_and_its_profile(run: Run) -> None:
    calls = run("mesh", MESH="ambient", PLATFORM="k3d")
    assert releases(calls) == ["istio-base", "istio-cni", "istiod", "ztunnel", "istio-ingressgateway"]
    for release in ("istio-cni", "istiod"):
        (call,) = [call for call in calls if call.startswith(f"helm upgrade --install {release} ")]
        assert " --set=profile=ambient --set=global.platform=k3d " in call


@pytest.mark.parametrize(
    ("mesh", "label", "mode"),
    [("", "istio-injection=enabled", "sidecar"), ("ambient", "istio.io/dataplane-mode=ambient", "ambient")],
)
def test_bookinfo_comes_in_the_meshs_mode_into_a_restricted_namespace(
    run: Run, mesh: str, label: str, mode: str
) -> None:
    calls = run("deploy", MESH=mesh)
    assert f"kubectl label namespace default {label} --overwrite" in calls
    assert any("pod-security.kubernetes.io/enforce=restricted" in call for call in calls)
    assert any(f" --set mesh.mode={mode} " in call for call in calls)


def test_a_failure_ends_the_script(run: Run) -> None:
    calls = run("mesh", code=1, FAILING="helm upgrade")
    assert releases(calls) == ["istio-base"]


def test_the_cluster_is_taken_away(run: Run) -> None:
    assert run("down") == ["kind delete cluster --name bookinfo"]


@pytest.mark.parametrize(("given", "wanted"), [({}, "kind-bookinfo"), ({"CONTEXT": "k3d-bookinfo"}, "k3d-bookinfo")])
@pytest.mark.parametrize("name", ["mesh", "deploy"])
def test_only_the_cluster_of_that_context_is_touched(
    run: Run, tmp_path: Path, name: str, given: dict[str, str], wanted: str
) -> None:
    calls = [call for call in run(name, **given) if not call.startswith("kubectl config get-contexts")]
    contexts = (tmp_path / "calls.contexts").read_text().splitlines()
    assert len(contexts) == len(calls)  # every call
    assert {context.partition("=")[2] for context in contexts} == {wanted}


@pytest.mark.parametrize("name", ["mesh", "deploy"])
def test_without_that_context_nothing_is_touched(run: Run, name: str) -> None:
    assert run(name, code=1, FAILING="kubectl config") == ["kubectl config get-contexts kind-bookinfo --output=name"]


def test_bookinfo_does_not_come_in_an_unknown_mode(run: Run, tmp_path: Path) -> None:
    (tmp_path / "calls").touch()
    assert run("deploy", code=1, MESH="sidecars") == []
