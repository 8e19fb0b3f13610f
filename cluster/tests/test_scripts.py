"""The scripts of cluster/, with fake tools that record their calls."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bookinfo_testing.scripts import write_program

ROOT = Path(__file__).parents[2]
TOOLS = ("docker", "kind", "kubectl", "helm", "istioctl", "make")

Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a script and returns the calls of its tools, one line each.

    The contexts that the calls name are in a file of their own. `CLUSTERS` is the output of `kind get clusters`, and
    `FAILING` is a tool with its first argument, which fails.
    """
    log = tmp_path / "calls"
    for tool in TOOLS:
        write_program(
            tmp_path / tool,
            f'#!/bin/sh\ncase "$1" in --context=* | --kube-context=*) echo "$1" >> {log}.contexts; shift ;; esac\n'
            f'echo {tool} "$*" >> {log}\n[ "{tool} $*" = "kind get clusters --quiet" ] && echo "$CLUSTERS"\n'
            f'[ "{tool} $1" != "$FAILING" ]\n',
        )

    def run_script(name: str, exit_code: int = 0, **environ: str) -> list[str]:
        environ = {"CLUSTERS": "", "FAILING": "", **environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        result = subprocess.run(
            [str(ROOT / "cluster" / name)], env=environ, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert result.returncode == exit_code, result.stderr
        return log.read_text().splitlines() if log.exists() else []

    return run_script


def releases(calls: list[str]) -> list[str]:
    return [call.split()[3] for call in calls if call.startswith("helm upgrade --install")]


def test_up_creates_the_cluster(run: Run) -> None:
    assert any(call.startswith("kind create cluster --name bookinfo") for call in run("up"))


def test_up_keeps_an_existing_cluster_and_loads_the_images(run: Run) -> None:
    calls = run("up", CLUSTERS="bookinfo")
    assert not any(call.startswith("kind create") for call in calls)
    images = [call.rpartition(" ")[2].partition(":")[0] for call in calls if call.startswith("kind load")]
    assert images == [
        f"bookinfo-{name}" for name in ("productpage", "details", "reviews", "ratings", "client", "books")
    ]


def test_mesh_with_sidecars_has_the_cni_plugin_but_no_ztunnel(run: Run) -> None:
    calls = run("mesh")
    assert releases(calls) == ["istio-base", "istio-cni", "istiod", "istio-ingressgateway"]
    assert not any("profile=ambient" in call for call in calls)


def test_ambient_mesh_has_ztunnel_and_the_ambient_profile(run: Run) -> None:
    calls = run("mesh", MESH="ambient", PLATFORM="k3d")
    assert releases(calls) == ["istio-base", "istio-cni", "istiod", "ztunnel", "istio-ingressgateway"]
    for release in ("istio-cni", "istiod"):
        (call,) = [call for call in calls if call.startswith(f"helm upgrade --install {release} ")]
        assert " --set=profile=ambient --set=global.platform=k3d " in call


@pytest.mark.parametrize(
    ("mesh", "label", "mode"),
    [("", "istio-injection=enabled", "sidecar"), ("ambient", "istio.io/dataplane-mode=ambient", "ambient")],
)
def test_deploy_labels_the_namespace_for_the_mode_and_enforces_restricted(
    run: Run, mesh: str, label: str, mode: str
) -> None:
    calls = run("deploy", MESH=mesh)
    assert f"kubectl label namespace default {label} --overwrite" in calls
    assert any("pod-security.kubernetes.io/enforce=restricted" in call for call in calls)
    assert any(f" --set mesh.mode={mode} " in call for call in calls)


def test_script_stops_at_the_first_failure(run: Run) -> None:
    calls = run("mesh", exit_code=1, FAILING="helm upgrade")
    assert releases(calls) == ["istio-base"]


def test_down_deletes_the_cluster(run: Run) -> None:
    assert run("down") == ["kind delete cluster --name bookinfo"]


@pytest.mark.parametrize(
    ("environ", "expected"), [({}, "kind-bookinfo"), ({"CONTEXT": "k3d-bookinfo"}, "k3d-bookinfo")]
)
@pytest.mark.parametrize("name", ["mesh", "deploy"])
def test_every_call_names_the_context(
    run: Run, tmp_path: Path, name: str, environ: dict[str, str], expected: str
) -> None:
    calls = [call for call in run(name, **environ) if not call.startswith("kubectl config get-contexts")]
    contexts = (tmp_path / "calls.contexts").read_text().splitlines()
    assert len(contexts) == len(calls)
    assert {context.partition("=")[2] for context in contexts} == {expected}


@pytest.mark.parametrize("name", ["mesh", "deploy"])
def test_missing_context_changes_nothing(run: Run, name: str) -> None:
    calls = run(name, exit_code=1, FAILING="kubectl config")
    assert calls == ["kubectl config get-contexts kind-bookinfo --output=name"]


def test_deploy_with_an_invalid_mode_changes_nothing(run: Run) -> None:
    assert run("deploy", exit_code=1, MESH="sidecars") == []
