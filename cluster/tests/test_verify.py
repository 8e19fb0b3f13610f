"""What `bookinfo verify --context` finds out, and that it leaves a cluster as it was, however it ends."""

import signal
import subprocess
import sys
import time

import pytest

from .conftest import Cluster

LESSON = "get-started"


def test_a_scenario_is_proved_and_everything_is_as_it_was(cluster: Cluster) -> None:
    code, told = cluster.told(LESSON)
    assert (code, cluster.difference()) == (0, []), told
    assert "namespace books of test: sidecars" in told
    assert "everything is as it was before: no difference" in told
    assert "holds" in told
    assert "fails" not in told


def test_a_rule_that_is_slow_to_take_effect_is_waited_for(cluster: Cluster) -> None:
    cluster.slow = 1.0
    code, told = cluster.told(LESSON, "--settle", "30")
    assert (code, cluster.difference()) == (0, []), told
    assert "(try " in told


def test_a_rule_that_takes_no_effect_fails_and_everything_is_as_it_was(cluster: Cluster) -> None:
    cluster.slow = 1000.0
    code, told = cluster.told(LESSON, "--settle", "1")
    assert (code, cluster.difference()) == (1, [])
    # What was there before lets everything in, so that all answers come with the rule as without it.
    assert "holds without its rule" in told


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_there_before_is_there_after_an_interrupt(cluster: Cluster, stop: signal.Signals) -> None:
    cluster.slow = 1000.0
    verifying = cluster.verify(LESSON, "--settle", "60")
    cluster.eventually(lambda: bool(cluster.difference()))
    verifying.send_signal(stop)
    cluster.eventually(lambda: verifying.poll() is not None)
    text, _ = verifying.communicate()
    assert verifying.returncode != 0
    assert cluster.difference() == [], text


def test_impatience_does_not_leave_it_half_restored(cluster: Cluster) -> None:
    cluster.slow = 1000.0
    verifying = cluster.verify(LESSON, "--settle", "60")
    cluster.eventually(lambda: bool(cluster.difference()))
    while verifying.poll() is None:
        verifying.send_signal(signal.SIGINT)
        time.sleep(0.05)
    text, _ = verifying.communicate()
    assert "putting back what was there before" in text
    assert cluster.difference() == [], text


def test_after_a_kill_the_next_verification_puts_back_first(cluster: Cluster) -> None:
    cluster.slow = 1000.0
    verifying = cluster.verify(LESSON, "--settle", "60")
    cluster.eventually(lambda: bool(cluster.difference()))
    verifying.kill()
    verifying.communicate()
    assert cluster.difference() != []
    cluster.slow = 0.0
    code, told = cluster.told(LESSON)
    assert "did not put everything back: doing so first (" in told
    assert "VirtualService bookinfo" in told
    assert (code, cluster.difference()) == (0, []), told


def test_a_connection_that_is_lost_half_way_and_comes_back_changes_nothing(cluster: Cluster) -> None:
    verifying = cluster.verify(LESSON)
    cluster.eventually(lambda: bool(cluster.difference()))
    cluster.update(loss={"verb": "any", "when": "after", "times": 3})
    text, _ = verifying.communicate(timeout=120)
    assert (verifying.returncode, cluster.difference()) == (0, []), text
    assert cluster.state["loss"]["times"] == 0


def test_what_helm_manages_is_neither_touched_nor_called_proved(cluster: Cluster) -> None:
    objects = cluster.state["objects"]
    objects["virtualservice/bookinfo"]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    cluster.update(objects=objects)
    code, told = cluster.told(LESSON)
    assert code == 1
    assert "managed by Helm" in " ".join(told.split())
    assert cluster.state["changes"] == []


def test_without_a_mesh_what_the_application_does_by_itself_is_proved(cluster: Cluster) -> None:
    pods = cluster.state["pods"]
    pods[0]["spec"]["containers"].pop()
    cluster.update(pods=pods)
    code, told = cluster.told("degradation", "canary")
    assert (code, cluster.difference()) == (0, []), told
    assert "holds" in told
    assert "here there is no mesh" in " ".join(told.split())
    assert "By chance" not in told  # nothing of the canary's shares was judged


def test_without_a_mesh_its_scenarios_are_not_checked_and_nothing_is_touched(cluster: Cluster) -> None:
    pods = cluster.state["pods"]
    pods[0]["spec"]["containers"].pop()
    cluster.update(pods=pods)
    code, told = cluster.told(LESSON, "canary")
    assert code == 1
    assert "here there is no mesh" in " ".join(told.split())
    assert cluster.state["changes"] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--gateway", "http://localhost:8080"], "--gateway is for a cluster: name it by --context"),
        (["--namespace", "books"], "--namespace books is for a cluster: name it by --context"),
        # What `--context "$(kubectl config current-context)"` is when there is none.
        (["--context", ""], "--context is empty: name one of"),
    ],
)
def test_a_clusters_option_without_a_cluster_is_refused_rather_than_spent_on_a_lab(
    options: list[str], told: str
) -> None:
    command = [sys.executable, "-m", "bookinfo_lab", "verify", LESSON, *options]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert told in refused.stderr


@pytest.mark.parametrize(
    "gateway",
    ["localhost:8080", "http://", "ftp://a.example", "http://[::1", "http://a.example:99999", "http://a/page"],
)
def test_what_is_no_gateways_url_is_told_before_anything_is_changed(cluster: Cluster, gateway: str) -> None:
    cluster.gateway = gateway
    code, told = cluster.told(LESSON)
    assert (code, cluster.state["calls"]) == (1, [])
    assert f"--gateway {gateway}: not a URL without a path; write one like" in told


@pytest.mark.parametrize("namespace", ["", "Books", "a/b", "a.b", 'a"b'])
def test_what_is_no_namespaces_name_is_told_before_anything_is_changed(cluster: Cluster, namespace: str) -> None:
    code, told = cluster.told(LESSON, f"--namespace={namespace}")
    assert (code, cluster.state["calls"]) == (1, [])
    assert f"--namespace {namespace!r} is not the name of one" in told
