"""The cluster target by way of the real kubectl, on a stand-in for the Kubernetes API."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bookinfo_lab.scenarios.kubectl import ConnectionLostError, Kubectl
from tests.chart import stand_in

from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.resources.store import key
from bookinfo_lab.scenarios.cluster_target import ClusterTarget, Settings
from bookinfo_lab.scenarios.journal import Journal
from bookinfo_lab.scenarios.mesh_detection import gateway_url, mesh
from bookinfo_lab.scenarios.model import Mesh
from bookinfo_lab.scenarios.target import NotObservableError

KUBECTL = str(Path(sys.executable).with_name("kubectl"))

Json = dict[str, Any]


@pytest.fixture
def api() -> Iterator[tuple[stand_in.Cluster, str]]:
    with stand_in.serving() as (cluster, url):
        yield cluster, url


def connection(folder: Path, url: str) -> Kubectl:
    """kubectl with a configuration and a cache of its own."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    options = (f"--kubeconfig={folder / 'kubeconfig'}", f"--cache-dir={folder / 'cache'}")
    return Kubectl("test", "books", (KUBECTL, *options), patience=0.1)


@pytest.fixture
def kubectl(tmp_path: Path, api: tuple[stand_in.Cluster, str]) -> Kubectl:
    return connection(tmp_path, api[1])


@pytest.fixture
def target(kubectl: Kubectl, tmp_path: Path) -> Iterator[ClusterTarget]:
    with contextlib.closing(Journal(tmp_path / "journal.json")) as journal:
        yield ClusterTarget(kubectl, Settings("books", "", take_over=False, settle=0.0, mesh=Mesh.SIDECAR), journal)


def document(kind: str, name: str, **spec: Any) -> Document:
    group = "security" if kind == "AuthorizationPolicy" else "networking"
    metadata = {"name": name, **({"namespace": spec.pop("namespace")} if "namespace" in spec else {})}
    body = {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    (found,) = read_documents(json.dumps(body), "test")
    return found


def test_objects_are_created_replaced_and_deleted_and_everything_is_as_it_was(
    api: tuple[stand_in.Cluster, str], kubectl: Kubectl, target: ClusterTarget
) -> None:
    cluster, _ = api
    before = dict(document("VirtualService", "reviews", hosts=["reviews"]).body)
    before["metadata"] = {"name": "reviews", "labels": {"team": "books"}, "annotations": {"note": "ours"}}
    kubectl.put(before)
    target.bring([document("VirtualService", "reviews", hosts=["other"]), document("DestinationRule", "new", host="x")])
    assert cluster.stored("VirtualService")["reviews"]["spec"] == {"hosts": ["other"]}
    assert cluster.stored("VirtualService")["reviews"]["metadata"].get("labels") is None
    assert "new" in cluster.stored("DestinationRule")
    target.restore()
    restored = cluster.stored("VirtualService")["reviews"]
    assert restored["spec"] == before["spec"]
    assert {name: restored["metadata"][name] for name in ("labels", "annotations")} == {
        "labels": {"team": "books"},
        "annotations": {"note": "ours"},
    }
    assert cluster.stored("DestinationRule") == {}


def test_a_deployment_is_waited_for_and_put_back(
    api: tuple[stand_in.Cluster, str], kubectl: Kubectl, target: ClusterTarget
) -> None:
    cluster, _ = api
    container = {"name": "ratings", "image": "registry.example/bookinfo-ratings:1"}
    theirs: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ratings-v1"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "ratings"}},
            "template": {"metadata": {"labels": {"app": "ratings"}}, "spec": {"containers": [container]}},
        },
    }
    kubectl.put(theirs)
    (none,) = read_documents(json.dumps(theirs | {"spec": {**theirs["spec"], "replicas": 0}}), "test")
    target.bring([none])
    assert cluster.stored("Deployment")["ratings-v1"]["spec"]["replicas"] == 0
    target.restore()
    assert cluster.stored("Deployment")["ratings-v1"]["spec"] == theirs["spec"]


def test_what_the_baseline_lacks_is_found_by_kind_and_name_alone(
    api: tuple[stand_in.Cluster, str], kubectl: Kubectl, target: ClusterTarget
) -> None:
    cluster, _ = api
    theirs = document("Gateway", "bookinfo-gateway", selector={"istio": "ingressgateway"})
    kubectl.put(theirs.body)
    target.bring([], {key(theirs)})
    assert cluster.stored("Gateway") == {}
    target.restore()
    assert cluster.stored("Gateway")["bookinfo-gateway"]["spec"] == theirs.body["spec"]


def test_an_object_of_another_namespace_is_touched_there(
    api: tuple[stand_in.Cluster, str], target: ClusterTarget
) -> None:
    cluster, _ = api
    target.bring([document("AuthorizationPolicy", "edge", namespace="istio-system", rules=[])])
    assert cluster.stored("AuthorizationPolicy")["edge"]["metadata"]["namespace"] == "istio-system"
    target.restore()
    assert cluster.stored("AuthorizationPolicy") == {}


def test_a_kind_that_the_cluster_does_not_know_is_not_checked(target: ClusterTarget) -> None:
    with pytest.raises(NotObservableError, match=r"the cluster knows no ProxyConfig \(networking.istio.io/v1\)"):
        target.bring([document("ProxyConfig", "reviews", concurrency=1)])


def test_a_lost_connection_is_told_from_a_refusal(tmp_path: Path) -> None:
    with stand_in.serving() as (_, url):
        lost = connection(tmp_path, url)
    with pytest.raises(ConnectionLostError):
        lost.find(document("VirtualService", "reviews", hosts=["reviews"]).body)


def test_the_mesh_is_told_by_the_pods(api: tuple[stand_in.Cluster, str], kubectl: Kubectl) -> None:
    cluster, _ = api
    labels = {"app": "productpage", "version": "v1"}
    stored: dict[str, Json] = {
        "deployments": {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": "productpage-v1", "namespace": "books"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"spec": {"containers": [{"name": "productpage", "image": "bookinfo-productpage:1"}]}},
            },
        },
        "pods": {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "productpage-v1", "namespace": "books", "labels": labels},
            "spec": {"containers": [{"name": "productpage"}, {"name": "istio-proxy"}]},
        },
        "services": {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        },
    }
    for plural, item in stored.items():
        cluster.put((item["apiVersion"], plural, item["metadata"]["name"]), item)
    assert mesh(kubectl, "books") is Mesh.SIDECAR
    assert gateway_url(kubectl) == "http://192.0.2.1"
