"""The cluster target with the real kubectl on a fake Kubernetes API server."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bookinfo_kubectl import ConnectionLostError, Kubectl
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.resources.store import key
from bookinfo_lab.scenarios.cluster_target import ClusterTarget, Settings
from bookinfo_lab.scenarios.journal import Journal
from bookinfo_lab.scenarios.mesh_detection import gateway_url, mesh
from bookinfo_lab.scenarios.model import Mesh
from bookinfo_lab.scenarios.target import NotObservableError
from bookinfo_testing import fake_kubernetes
from bookinfo_testing.fake_kubernetes import FakeKubernetes

KUBECTL = str(Path(sys.executable).with_name("kubectl"))

Json = dict[str, Any]


@pytest.fixture
def server() -> Iterator[tuple[FakeKubernetes, str]]:
    with fake_kubernetes.serve() as (cluster, url):
        yield cluster, url


@pytest.fixture
def cluster(server: tuple[FakeKubernetes, str]) -> FakeKubernetes:
    return server[0]


def connect(directory: Path, url: str) -> Kubectl:
    """Return a kubectl whose configuration and cache are in `directory`."""
    config = fake_kubernetes.write_kubeconfig(directory / "kubeconfig", url)
    options = (f"--kubeconfig={config}", f"--cache-dir={directory / 'cache'}")
    return Kubectl("test", "books", (KUBECTL, *options), retry_seconds=0.1)


@pytest.fixture
def kubectl(tmp_path: Path, server: tuple[FakeKubernetes, str]) -> Kubectl:
    return connect(tmp_path, server[1])


@pytest.fixture
def target(kubectl: Kubectl, tmp_path: Path) -> Iterator[ClusterTarget]:
    settings = Settings("books", "", take_over=False, propagation_seconds=0.0, mesh=Mesh.SIDECAR)
    with contextlib.closing(Journal(tmp_path / "journal.json")) as journal:
        yield ClusterTarget(kubectl, settings, journal)


def document(kind: str, name: str, **spec: Any) -> Document:
    group = "security" if kind == "AuthorizationPolicy" else "networking"
    metadata = {"name": name, **({"namespace": spec.pop("namespace")} if "namespace" in spec else {})}
    body = {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    (found,) = read_documents(json.dumps(body), "test")
    return found


def test_created_replaced_and_deleted_objects_are_restored(
    cluster: FakeKubernetes, kubectl: Kubectl, target: ClusterTarget
) -> None:
    original = dict(document("VirtualService", "reviews", hosts=["reviews"]).body)
    original["metadata"] = {"name": "reviews", "labels": {"team": "books"}, "annotations": {"note": "ours"}}
    kubectl.put(original)
    target.set_state(
        [document("VirtualService", "reviews", hosts=["other"]), document("DestinationRule", "new", host="x")]
    )
    assert cluster.objects_of("VirtualService")["reviews"]["spec"] == {"hosts": ["other"]}
    assert cluster.objects_of("VirtualService")["reviews"]["metadata"].get("labels") is None
    assert "new" in cluster.objects_of("DestinationRule")
    target.restore()
    restored = cluster.objects_of("VirtualService")["reviews"]
    assert restored["spec"] == original["spec"]
    assert {name: restored["metadata"][name] for name in ("labels", "annotations")} == {
        "labels": {"team": "books"},
        "annotations": {"note": "ours"},
    }
    assert cluster.objects_of("DestinationRule") == {}


def test_changed_deployment_is_restored(cluster: FakeKubernetes, kubectl: Kubectl, target: ClusterTarget) -> None:
    container = {"name": "ratings", "image": "registry.example/bookinfo-ratings:1"}
    original: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ratings-v1"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "ratings"}},
            "template": {"metadata": {"labels": {"app": "ratings"}}, "spec": {"containers": [container]}},
        },
    }
    kubectl.put(original)
    (scaled,) = read_documents(json.dumps(original | {"spec": {**original["spec"], "replicas": 0}}), "test")
    target.set_state([scaled])
    assert cluster.objects_of("Deployment")["ratings-v1"]["spec"]["replicas"] == 0
    target.restore()
    assert cluster.objects_of("Deployment")["ratings-v1"]["spec"] == original["spec"]


def test_removed_object_is_restored(cluster: FakeKubernetes, kubectl: Kubectl, target: ClusterTarget) -> None:
    """The scenario removes an object by its kind and name, without its content."""
    original = document("Gateway", "bookinfo-gateway", selector={"istio": "ingressgateway"})
    kubectl.put(original.body)
    target.set_state([], {key(original)})
    assert cluster.objects_of("Gateway") == {}
    target.restore()
    assert cluster.objects_of("Gateway")["bookinfo-gateway"]["spec"] == original.body["spec"]


def test_object_of_another_namespace_is_applied_in_its_namespace(
    cluster: FakeKubernetes, target: ClusterTarget
) -> None:
    target.set_state([document("AuthorizationPolicy", "edge", namespace="istio-system", rules=[])])
    assert cluster.objects_of("AuthorizationPolicy")["edge"]["metadata"]["namespace"] == "istio-system"
    target.restore()
    assert cluster.objects_of("AuthorizationPolicy") == {}


def test_kind_without_crd_is_not_observable(target: ClusterTarget) -> None:
    with pytest.raises(NotObservableError, match=r"ProxyConfig \(networking.istio.io/v1\)"):
        target.set_state([document("ProxyConfig", "reviews", concurrency=1)])


def test_lost_connection_is_distinguished_from_a_rejection(tmp_path: Path) -> None:
    with fake_kubernetes.serve() as (_, url):
        kubectl = connect(tmp_path, url)
    with pytest.raises(ConnectionLostError):
        kubectl.find(document("VirtualService", "reviews", hosts=["reviews"]).body)


def test_mesh_and_gateway_are_detected(cluster: FakeKubernetes, kubectl: Kubectl) -> None:
    labels = {"app": "productpage", "version": "v1"}
    objects: list[Json] = [
        {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": "productpage-v1", "namespace": "books"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"spec": {"containers": [{"name": "productpage", "image": "bookinfo-productpage:1"}]}},
            },
        },
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "productpage-v1", "namespace": "books", "labels": labels},
            "spec": {"containers": [{"name": "productpage"}, {"name": "istio-proxy"}]},
        },
        {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        },
    ]
    for item in objects:
        cluster.add(item)
    assert mesh(kubectl, "books") is Mesh.SIDECAR
    assert gateway_url(kubectl) == "http://192.0.2.1"
