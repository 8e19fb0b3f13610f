"""`bookinfo verify --context`: its results, and that it restores the cluster however it ends."""

import signal
import subprocess
import sys
import time

import pytest

from .conftest import Cluster

SCENARIO = "get-started"


def test_scenario_passes_and_the_cluster_is_restored(cluster: Cluster) -> None:
    exit_code, output = cluster.verify(SCENARIO)
    assert (exit_code, cluster.changed_objects()) == (0, []), output
    assert "namespace books of test: sidecars" in output
    assert "all objects are restored: no difference" in output
    assert "passed" in output
    assert "failed" not in output


def test_slow_rule_is_waited_for(cluster: Cluster) -> None:
    cluster.propagation_seconds = 1.0
    exit_code, output = cluster.verify(SCENARIO, "--settle", "30")
    assert (exit_code, cluster.changed_objects()) == (0, []), output
    assert "(try " in output


def test_rule_without_effect_fails_and_the_cluster_is_restored(cluster: Cluster) -> None:
    cluster.propagation_seconds = 1000.0
    exit_code, output = cluster.verify(SCENARIO, "--settle", "1")
    assert (exit_code, cluster.changed_objects()) == (1, [])
    # The original route stays in effect, so every request succeeds with and without the rule.
    assert "passed without the rule" in output


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cluster_is_restored_after_a_signal(cluster: Cluster, stop: signal.Signals) -> None:
    cluster.propagation_seconds = 1000.0
    process = cluster.start_verify(SCENARIO, "--settle", "60")
    cluster.eventually(lambda: bool(cluster.changed_objects()))
    process.send_signal(stop)
    cluster.eventually(lambda: process.poll() is not None)
    output, _ = process.communicate()
    assert process.returncode != 0
    assert cluster.changed_objects() == [], output


def test_repeated_signals_do_not_interrupt_the_restoration(cluster: Cluster) -> None:
    cluster.propagation_seconds = 1000.0
    process = cluster.start_verify(SCENARIO, "--settle", "60")
    cluster.eventually(lambda: bool(cluster.changed_objects()))
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    output, _ = process.communicate()
    assert "restoring the original state" in output
    assert cluster.changed_objects() == [], output


def test_next_verification_restores_the_cluster_after_a_kill(cluster: Cluster) -> None:
    cluster.propagation_seconds = 1000.0
    process = cluster.start_verify(SCENARIO, "--settle", "60")
    cluster.eventually(lambda: bool(cluster.changed_objects()))
    process.kill()
    process.communicate()
    assert cluster.changed_objects() != []
    cluster.propagation_seconds = 0.0
    exit_code, output = cluster.verify(SCENARIO)
    assert "restoring objects that an earlier verification did not restore (" in output
    assert "VirtualService bookinfo" in output
    assert (exit_code, cluster.changed_objects()) == (0, []), output


def test_temporarily_lost_connection_changes_nothing(cluster: Cluster) -> None:
    process = cluster.start_verify(SCENARIO)
    cluster.eventually(lambda: bool(cluster.changed_objects()))
    cluster.update(loss={"verb": "any", "when": "after", "times": 3})
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, cluster.changed_objects()) == (0, []), output
    assert cluster.state["loss"]["times"] == 0


def test_object_managed_by_helm_is_not_changed(cluster: Cluster) -> None:
    objects = cluster.state["objects"]
    objects["virtualservice/bookinfo"]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    cluster.update(objects=objects)
    exit_code, output = cluster.verify(SCENARIO)
    assert exit_code == 1
    assert "VirtualService bookinfo is managed by" in output
    assert "--take-over allows changing it" in output
    assert cluster.state["changes"] == []


def test_claims_about_the_application_are_checked_without_a_mesh(cluster: Cluster) -> None:
    cluster.remove_sidecars()
    exit_code, output = cluster.verify("degradation", "canary")
    assert (exit_code, cluster.changed_objects()) == (0, []), output
    assert "passed" in output
    assert "no mesh" in output
    assert "by chance" not in output  # no claim about the canary's shares was checked


def test_claims_about_the_mesh_are_not_checked_without_a_mesh(cluster: Cluster) -> None:
    cluster.remove_sidecars()
    exit_code, output = cluster.verify(SCENARIO, "canary")
    assert exit_code == 1
    assert "no mesh" in output
    assert cluster.state["changes"] == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--gateway", "http://localhost:8080"], "--gateway requires --context"),
        (["--namespace", "books"], "--namespace books requires --context"),
        # The value of `--context "$(kubectl config current-context)"` if no context is set.
        (["--context", ""], "--context: the value is empty; use a name from"),
    ],
)
def test_cluster_option_without_a_cluster_is_rejected(options: list[str], error: str) -> None:
    command = [sys.executable, "-m", "bookinfo_lab", "verify", SCENARIO, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert error in result.stderr


@pytest.mark.parametrize(
    "gateway",
    ["localhost:8080", "http://", "ftp://a.example", "http://[::1", "http://a.example:99999", "http://a/page"],
)
def test_invalid_gateway_is_rejected_before_any_change(cluster: Cluster, gateway: str) -> None:
    cluster.gateway = gateway
    exit_code, output = cluster.verify(SCENARIO)
    assert (exit_code, cluster.state["calls"]) == (1, [])
    assert f"--gateway {gateway}: invalid URL" in output


@pytest.mark.parametrize("namespace", ["", "Books", "a/b", "a.b", 'a"b'])
def test_invalid_namespace_is_rejected_before_any_change(cluster: Cluster, namespace: str) -> None:
    exit_code, output = cluster.verify(SCENARIO, f"--namespace={namespace}")
    assert (exit_code, cluster.state["calls"]) == (1, [])
    assert f"--namespace {namespace!r}: invalid name" in output
